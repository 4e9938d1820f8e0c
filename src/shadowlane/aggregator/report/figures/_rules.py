"""What requests share that have something in common, as rules that people can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shadowlane.aggregator.report.figures._rate import Interval, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`country = BR and amount > 500`: for how many requests it holds, and how many of them are sought.

    `text` is plain text with names and values from data made visible; `terms` is the same for programs.
    """

    text: str
    terms: tuple[Mapping[str, object], ...]  # {"field", "operator", "value"}; joined by and
    requests: int  # for how many requests the rule holds
    hits: int  # of these, the sought ones (that disagree, fail, are slow)
    share: float  # of all sought ones, those that the rule holds for
    rate: Rate  # hits of requests
    lift: float  # the rule's rate by the rate over all
    lift_interval: Interval | None
    p_value: float  # corrected for how many rules were tried
    examples: tuple[str, ...]  # three request ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules found, the one that explains most first, and what they were sought in."""

    rules: tuple[Rule, ...]
    sought: int  # the sought requests
    among: int  # the requests looked at
    fields: tuple[str, ...]  # the features and segments that could be told apart by
    uncovered: int  # sought requests that no rule holds for
    note: str  # what could not be looked at, and why; empty where all could
