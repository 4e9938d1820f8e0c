"""Readable rules that say what some requests share: `country = BR and amount > 500`.

The flow is in `_mine.py`: search, round, test, set aside, again. Pure functions of columns; no lake here.
"""

from shadowlane.aggregator.rules._columns import Categories, Column, Flags, Numbers, taken
from shadowlane.aggregator.rules._mine import FoundRule, find_rules
from shadowlane.aggregator.rules._terms import Term, holds_for, text_of

__all__ = [
    "Categories",
    "Column",
    "Flags",
    "FoundRule",
    "Numbers",
    "Term",
    "find_rules",
    "holds_for",
    "taken",
    "text_of",
]
