"""A look at a report by a policy: what each check is concluded from, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from shadowlane.aggregator.gate._check import Check, Operator, meets
from shadowlane.aggregator.gate._intervals import more_needed, rate_interval, rate_is_settled
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Interval, Watch
from shadowlane.visible import visible

Write = Callable[..., str]
#: The interval, were there so many times the requests.
At = Callable[[float], Interval]

_BLIND = "The report was read without what a confidence needs, so nothing is settled."
_TOO_FEW = "There are too few requests to bound it."


def points(value: float, decimals: int = 2) -> str:
    """A difference of two shares: +1.20 points."""
    return f"{value * 100:+.{decimals}f} points"


def in_sentence(name: str) -> str:
    """A name from outside within a sentence that has places for values."""
    return visible(name).replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True, slots=True)
class Look:
    """A report, and the policy that it is looked at by."""

    report: Report
    policy: Policy

    @property
    def level(self) -> float | None:
        """The confidence asked for."""
        return self.policy.confidence

    @property
    def watch(self) -> Watch | None:
        """What intervals rest on."""
        found = self.report.watch
        return found if found is not None and found.level == self.level else None

    @property
    def alike(self) -> float:
        """The design effect, were all requests of a user alike."""
        return self.watch.alike if self.watch else 1.0

    def rate(
        self,
        name: str,
        counts: tuple[float, float],
        operator: Operator,
        bound: float,
        *,
        effect: float,
        sentence: str,
        none: str,
        of: str | None = None,
        kind: Literal["evidence", "criterion"] = "criterion",
    ) -> Check:
        """A check of a share: so many of so many.

        Args:
            name: The check's.
            counts: So many of so many.
            operator: On which side of the bound it is good.
            bound: What is asked for.
            effect: How many requests are worth one.
            sentence: What is said, with places for the value and the bound.
            none: What is said of none.
            of: Of which cohort, feature or outcome the share is.
            kind: Whether it is evidence, or a criterion.
        """
        part, whole = counts
        level = self.level
        interval = rate_interval(part, whole, bound, level, effect) if level is not None and whole else None
        return self.conclude(
            name,
            part / whole if whole else None,
            operator,
            bound,
            n=round(whole),
            sentence=sentence,
            write=_values.percent,
            doubts=() if whole else (none,),
            interval=interval,
            needed=lambda: more_to_settle_rate(part, whole, bound, level or 0.5, effect),
            of=of,
            kind=kind,
        )

    def conclude(
        self,
        name: str,
        value: float | None,
        operator: Operator,
        bound: float,
        *,
        n: int,
        sentence: str,
        write: Write,
        doubts: Sequence[str] = (),
        at: At | None = None,
        interval: Interval | None = None,
        needed: Callable[[], int | None] = lambda: None,
        is_counted: bool = False,
        of: str | None = None,
        kind: Literal["evidence", "criterion"] = "criterion",
    ) -> Check:
        """A check, from its value and, where a confidence is asked for, from where that lies.

        Args:
            name: The check's.
            value: The figure; None where there is none.
            operator: On which side of the bound it is good.
            bound: What is asked for.
            n: Over how many requests the value is.
            sentence: What is said, with places for the value and the bound.
            write: How the figure is written.
            doubts: What keeps the figure from being known, or from being a pass.
            at: The interval, were there so many times the requests.
            interval: The interval, where it is not of `at`.
            needed: How many more requests would settle it; `at` tells, too.
            is_counted: Whether it is a plain count, which no confidence changes.
            of: Of which cohort, feature or outcome the value is.
            kind: Whether it is evidence, or a criterion.
        """
        said = [*doubts]
        is_watched = self.level is not None and not is_counted and value is not None
        if not is_watched:
            interval = None
        elif self.watch is None:
            said.append(_BLIND)
            interval = None
        elif at is None and interval is None:
            said.append(_TOO_FEW)
        elif at is not None:
            interval = at(1.0)
        passed = None if is_watched and interval is None else meets(value, operator, bound, interval)
        is_open = interval is not None and passed is None
        more: int | None = None
        if is_open and not said:
            more = more_needed(lambda scale: _leaves_out(at, scale, bound), n) if at else needed()
        if value is not None:
            said.insert(0, sentence.format(*_values.apart(value, bound, write)))
        if interval:
            said.insert(1, _known(interval, write, more, is_open=is_open))
        has_doubts = len(said) > (value is not None) + (interval is not None)
        return Check(
            name=name,
            value=value,
            operator=operator,
            bound=bound,
            n=n,
            passed=None if passed and has_doubts else passed,
            why=" ".join(said),
            interval=interval,
            unsettled=is_open and not has_doubts,
            more_needed=more,
            of=of,
            kind=kind,
        )


def _leaves_out(at: At, scale: float, bound: float) -> bool:
    found = at(scale)
    return not found.low <= bound <= found.high


def more_to_settle_rate(part: float, whole: float, bound: float, level: float, effect: float) -> int | None:
    """About how many more requests would tell on which side of the bound a rate lies."""

    def is_settled(scale: float) -> bool:
        return rate_is_settled(part * scale, whole * scale, bound, level, effect)

    return more_needed(is_settled, round(whole))


def _known(interval: Interval, write: Write, more: int | None, *, is_open: bool) -> str:
    level = _values.shortest(interval.level, _values.percent)
    ends = f"{write(interval.low)} to {write(interval.high)}"
    said = f"However often one looks, with {level} confidence it is {ends}"
    if not is_open:
        return f"{said}."
    if more is None:
        return f"{said}, which does not settle it."
    return f"{said}, which does not settle it; about {_values.many(more, 'more request')} would."
