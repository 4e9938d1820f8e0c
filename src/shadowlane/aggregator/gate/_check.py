"""A check: one criterion against its figure, and what comes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from shadowlane.aggregator.report.figures import Interval

Operator = Literal[">=", "<="]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One criterion against its figure. `passed` is None where that cannot be said."""

    name: str
    value: float | None
    operator: Operator
    bound: float
    n: int  # over how many requests the value is
    passed: bool | None
    why: str
    #: Where the value lies, however often one looks; None without `confidence`, and of what is counted.
    interval: Interval | None = None
    unsettled: bool = False  # the bound lies in the interval: more requests would tell
    more_needed: int | None = None  # about so many; None: it is settled, or no number would do
    of: str | None = None  # of which cohort, feature or outcome the value is
    #: "evidence": whether there is enough to judge by; missed, nothing is decided. Else "criterion".
    kind: Literal["evidence", "criterion"] = "criterion"


def meets(
    value: float | None, operator: Operator, bound: float, interval: Interval | None = None
) -> bool | None:
    """Whether a value, or the whole of its interval, is on the good side; None where that cannot be said."""
    if value is None or math.isnan(value):
        return None
    low, high = (value, value) if interval is None else (interval.low, interval.high)
    if math.isnan(low) or math.isnan(high):
        return None
    if operator == ">=":
        return True if low >= bound else False if high < bound else None
    return True if high <= bound else False if low > bound else None
