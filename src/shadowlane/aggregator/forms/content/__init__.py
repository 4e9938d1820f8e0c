"""What the page says, whatever form it takes: a file for each of its parts, in the order of `_page.py`."""

from shadowlane.aggregator.forms.content._evidence import narrowed, versions_of
from shadowlane.aggregator.forms.content._page import sections
from shadowlane.aggregator.forms.content._parts import Cell, Column, Section, Table, table
from shadowlane.aggregator.forms.content._segments import all_groups, group_name
from shadowlane.aggregator.forms.content._totals import findings

__all__ = [
    "Cell",
    "Column",
    "Section",
    "Table",
    "all_groups",
    "findings",
    "group_name",
    "narrowed",
    "sections",
    "table",
    "versions_of",
]
