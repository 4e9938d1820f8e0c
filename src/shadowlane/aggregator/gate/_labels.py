"""The checks against the outcome: how much is known, and whether the shadow is right often enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from shadowlane.aggregator.gate._asked import LabelCriteria
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._intervals import difference_interval, mean_interval
from shadowlane.aggregator.gate._look import At, Look, in_sentence, points
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import Correctness, Interval, Outcome
from shadowlane.visible import visible

Number = TypeVar("Number", float, float | None)

_DIGITS = 12
_TINY = 1e-100
#: About how often just one of the two is right; where an interval is to be narrowest, no more.
NEAR = 0.02


# A difference in correctness over fewer requests than this is no figure to pass on.
_FEWEST = 30


def labels(look: Look, asked: LabelCriteria) -> Iterator[Check]:
    """Each check that is asked for; a loss within its margin is none (non-inferiority)."""
    every = look.report.truth.outcomes if look.report.truth else ()
    outcome = next((each for each in every if each.name == asked.name), None)
    yield _labelled(asked, outcome)
    if asked.max_correctness_loss is not None:
        yield _correctness(
            look,
            "correctness_ok",
            outcome.correctness if outcome else None,
            asked.max_correctness_loss,
            asked.name,
        )
    if asked.max_correctness_loss_on_disagreements is not None:
        yield _correctness(
            look,
            "correctness_on_disagreements_ok",
            outcome.on_disagreements if outcome else None,
            asked.max_correctness_loss_on_disagreements,
            asked.name,
            where=", where the two disagree,",
        )
    if asked.max_brier_increase is not None:
        yield _brier(look, asked, outcome, asked.max_brier_increase)
    if asked.max_absolute_error_increase is not None:
        yield _absolute_error(look, asked, outcome, asked.max_absolute_error_increase)


def _labelled(asked: LabelCriteria, outcome: Outcome | None) -> Check:
    value, bound, name = _judged(outcome), asked.min_labelled, visible(asked.name)
    missing = "" if value >= bound else f": {bound - value:,} more are needed before the rest can be judged"
    return Check(
        name="labels_sufficient",
        value=value,
        operator=">=",
        bound=bound,
        n=value,
        passed=value >= bound,
        why=f"{_values.many(value, 'compared request')} with a known outcome ({name}); "
        f"at least {bound:,} are asked for{missing}.",
        more_needed=None if value >= bound else bound - value,
        of=asked.name,
        kind="evidence",
    )


def _judged(outcome: Outcome | None) -> int:
    """How many labels say which of the two was right, or nearer."""
    if outcome is None:
        return 0
    found = outcome.correctness or outcome.numeric
    return min(found.requests, outcome.labelled.part) if found else outcome.labelled.part


def _correctness(
    look: Look, name: str, found: Correctness | None, loss: float, outcome: str, where: str = ""
) -> Check:
    value = found.difference if found else None
    return look.conclude(
        name,
        value,
        ">=",
        -loss,
        n=found.requests if found else 0,
        sentence=f"By the outcome {in_sentence(outcome)}{where} the shadow is right {{}} against the "
        "primary; at least {} is asked for.",
        write=points,
        doubts=_correctness_doubts(found, value, outcome),
        at=_difference_at(look, found) if found and value is not None else None,
        of=outcome,
    )


def _correctness_doubts(found: Correctness | None, value: float | None, outcome: str) -> tuple[str, ...]:
    if found is None or value is None:
        return (_unknown(outcome),)
    if found.requests < _FEWEST:
        return (f"It rests on {_values.many(found.requests, 'request')}; {_FEWEST} are the least.",)
    return ()


def _difference_at(look: Look, found: Correctness) -> At | None:
    level, n = look.level, found.requests
    if level is None:
        return None
    return lambda scale: difference_interval(
        (found.only_primary * scale, n * scale),
        (found.only_shadow * scale, n * scale),
        (NEAR, NEAR),
        level,
        look.alike,
    )


def _brier(look: Look, asked: LabelCriteria, outcome: Outcome | None, bound: float) -> Check:
    value = _steady(outcome.brier_difference if outcome else None, 1.0)
    n = outcome.correctness.requests if outcome and outcome.correctness else 0
    n = n or (outcome.labelled.part if outcome else 0)
    return look.conclude(
        "brier_ok",
        value,
        "<=",
        bound,
        n=n,
        sentence=f"By the outcome {in_sentence(asked.name)} the shadow's Brier score is {{}} above the "
        "primary's; at most {} is asked for.",
        write=signed,
        doubts=() if value is not None else (_unknown(asked.name),),
        at=_mean_at(look, asked, value, outcome.brier_difference_interval if outcome else None, n, 1.0),
        of=asked.name,
    )


def _absolute_error(look: Look, asked: LabelCriteria, outcome: Outcome | None, bound: float) -> Check:
    found = outcome.numeric if outcome else None
    size = max(found.primary_mean_absolute, found.shadow_mean_absolute) if found else 1.0
    value, n = (_steady(found.difference, size), found.requests) if found else (None, 0)
    return look.conclude(
        "absolute_error_ok",
        value,
        "<=",
        bound,
        n=n,
        sentence=f"By the outcome {in_sentence(asked.name)} the shadow's mean absolute error is {{}} above "
        "the primary's; at most {} is asked for.",
        write=signed,
        doubts=() if value is not None else (_unknown(asked.name),),
        at=_mean_at(look, asked, value, found.difference_interval if found else None, n, size),
        of=asked.name,
    )


def _mean_at(
    look: Look, asked: LabelCriteria, value: float | None, given: Interval | None, n: int, size: float
) -> At | None:
    level = look.level
    if level is None or value is None or given is None or not n:
        return None

    def at(scale: float) -> Interval:
        found = mean_interval(value, given, n, level, asked.min_labelled, scale)
        low, high = (_steady(end, size) for end in (found.low, found.high))
        return replace(found, low=low, high=high)

    return at


def _steady(value: Number, size: float) -> Number:
    """A difference of means without the last digits, which the order of the rows decides.

    It is small beside the means, so twelve digits of theirs are kept, not of its own.
    """
    if value is None or not math.isfinite(value) or not math.isfinite(size):
        return value
    return round(value, _DIGITS - math.ceil(math.log10(max(abs(size), _TINY))))


def _unknown(outcome: str) -> str:
    return f"No outcome {visible(outcome)} is known that both models' answers can be held to."


def signed(value: float, decimals: int = 4) -> str:
    """+0.0123."""
    return f"{value:+.{decimals}f}"
