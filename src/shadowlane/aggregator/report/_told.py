"""What is said of a group that stands out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._cohorts import Tally
from shadowlane.aggregator.report._losses import bad_rate, difference
from shadowlane.aggregator.report.figures import Term
from shadowlane.visible import visible

_LONGEST = 60


def sentence(figure: str, name: str, tally: Tally, whole: Tally) -> str:
    """How the group of this name fares, against all."""
    return f"{name}: {_SENTENCES[figure](tally, whole)}."


def name_of(terms: Sequence[Term]) -> str:
    """What a group is called: country=BR and device=ios."""
    return " and ".join(map(_name, terms))


def _name(term: Term) -> str:
    segment = visible(term.segment, _LONGEST)
    if term.value is None:
        return f"the rarer values of {segment}" if term.is_other else f"no {segment}"
    return f"{segment}={visible(term.value, _LONGEST) or '(empty)'}"


def _of_agreement(tally: Tally, whole: Tally) -> str:
    decided = tally.compared - tally.ignored
    return (
        f"the two agree on {_values.percent(1 - bad_rate(tally, 'agreement'), 1)} of "
        f"{_values.many(decided, 'request')} ({_share(tally, whole)}), "
        f"against {_values.percent(1 - bad_rate(whole, 'agreement'), 1)} overall"
    )


def _of_errors(tally: Tally, whole: Tally) -> str:
    return (
        f"the shadow fails on {_values.percent(bad_rate(tally, 'errors'), 1)} of "
        f"{_values.many(tally.requests, 'request')} ({_share(tally, whole)}), "
        f"against {_values.percent(bad_rate(whole, 'errors'), 1)} overall"
    )


def _of_correctness(tally: Tally, whole: Tally) -> str:
    turns = difference(whole) >= 0
    overall = "the shadow is the better one" if difference(whole) > 0 else "the two are equally good"
    return (
        f"on {_values.many(tally.judged, 'labelled request')} (the group is {_share(tally, whole)}) the "
        f"shadow is right on {_values.percent(tally.shadow_right / tally.judged, 1)}, the primary on "
        f"{_values.percent(tally.primary_right / tally.judged, 1)}, "
        + (f"although overall {overall}: " if turns else "against overall ")
        + f"{_values.percent(whole.shadow_right / whole.judged, 1)} and "
        f"{_values.percent(whole.primary_right / whole.judged, 1)}"
    )


def _share(tally: Tally, whole: Tally) -> str:
    return f"{_values.percent(tally.requests / whole.requests, 1)} of all"


_SENTENCES: dict[str, Callable[[Tally, Tally], str]] = {
    "agreement": _of_agreement,
    "errors": _of_errors,
    "correctness": _of_correctness,
}
