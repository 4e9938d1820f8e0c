"""Which of the two was right, where the outcome has become known."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import PRIMARY, SHADOW, Column, Section, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Correctness, GroundTruth, NumericError, Outcome
from shadowlane.visible import visible

_KINDS = {
    "class": "labels",
    "binary": "outcomes of 0 or 1",
    "number": "numbers",
    "other": "nothing that predictions can be held against",
}
_MOST_GROUPS = 12


def truth(report: Report) -> Iterator[Section]:
    """A section for each name of labels."""
    found = report.truth
    if not found:
        return
    for place, outcome in enumerate(found.outcomes):
        yield Section(
            key=f"truth-{place + 1}",
            title=f"Ground truth: {visible(outcome.name, 60)}",
            lead=(*_lead(outcome), *(_odd(found) if place == 0 else ())),
            tables=tuple(_tables(outcome)),
        )


def _lead(outcome: Outcome) -> Iterator[str]:
    known, kind = outcome.labelled, _KINDS.get(outcome.kind, visible(outcome.kind))
    yield (
        f"{known.part:,} of {known.whole:,} compared requests have one ({_values.percent(known.value)}); "
        f"they are {kind}."
    )
    if outcome.threshold is not None:
        yield f"A score from {_values.number(outcome.threshold)} on counts as 1."
    if outcome.users is not None:
        yield f"Requests cluster by {_values.many(outcome.users, 'user')}: the intervals go by users."
    if outcome.agreement_labelled is not None:
        yield (
            f"Agreement is {_values.percent(outcome.agreement_labelled)} among these, "
            f"{_values.percent(outcome.agreement_all)} among all: the further apart, the less they speak for "
            "all."
        )


def _odd(found: GroundTruth) -> Iterator[str]:
    odd = [
        f"{number:,} {what}"
        for number, what in (
            (found.corrected, "corrected by a later label"),
            (found.withdrawn, "withdrawn"),
            (found.contradictory, "contradictory (observed at the same time)"),
            (found.unknown, "of requests not in this report"),
            (found.errored, "of requests that the shadow gave no answer to"),
        )
        if number
    ]
    if found.unknown is None:
        odd.append("far too many to count of requests not in this report")
    if odd:
        yield f"Of all labels: {', '.join(odd)}."
    if found.more_names:
        yield f"Besides, {_values.many(found.more_names, 'name')} of labels less frequent than these."


def _tables(outcome: Outcome) -> Iterator[Table]:
    cases = (("all labelled", outcome.correctness), ("on disagreements", outcome.on_disagreements))
    judged = [(name, each) for name, each in cases if each]
    if judged:
        yield _correct(judged)
        yield _paired(judged)
    if outcome.numeric:
        yield _numeric(outcome.numeric)
    if outcome.primary_calibration or outcome.shadow_calibration:
        yield from _calibration(outcome)
    if outcome.horizons:
        yield _horizons(outcome)
    if outcome.reweighted:
        yield _reweighted(outcome)
    if outcome.coverage:
        yield _coverage(outcome)


def _correct(judged: list[tuple[str, Correctness]]) -> Table:
    rows = [
        (
            name,
            _values.count(each.requests),
            model,
            _values.percent(rate.value),
            _values.between(rate.interval, _values.percent),
        )
        for name, each in judged
        for model, rate in ((PRIMARY, each.primary), (SHADOW, each.shadow))
    ]
    return table(
        ("over", *right("requests"), "model", *right("right", "interval")), rows, title="Correctness"
    )


def _paired(judged: list[tuple[str, Correctness]]) -> Table:
    rows = [
        (
            name,
            _values.points(each.difference),
            _values.between(each.difference_interval, _values.points),
            _values.count(each.only_primary),
            _values.count(each.only_shadow),
            _values.p_value(each.mcnemar_p),
        )
        for name, each in judged
    ]
    columns = ("over", *right("difference", "interval", "only primary", "only shadow", "McNemar p"))
    return table(columns, rows, title="Paired: shadow less primary")


def _numeric(found: NumericError) -> Table:
    number = _values.number
    return table(
        ("mean absolute error", *right("value", "interval")),
        [
            (PRIMARY, number(found.primary_mean_absolute), ""),
            (SHADOW, number(found.shadow_mean_absolute), ""),
            (
                "shadow less primary",
                _values.signed(found.difference),
                _values.between(found.difference_interval, _values.signed),
            ),
        ],
        title=f"Distance from the label ({found.requests:,} requests)",
        note=f"Left out, without two finite scores: {found.left_out:,}." if found.left_out else "",
    )


def _calibration(outcome: Outcome) -> Iterator[Table]:
    both = ((PRIMARY, outcome.primary_calibration), (SHADOW, outcome.shadow_calibration))
    sides = [(model, each) for model, each in both if each]
    rows = [
        (model, _values.distance(each.brier), _values.distance(each.expected_error)) for model, each in sides
    ]
    columns = ("model", *right("Brier score", "expected calibration error"))
    is_own = any(each.of == "label" for _, each in sides)
    promise = "Scores as the probability that the model's own label is right." if is_own else ""
    note = " ".join([promise, *_calibration_differences(outcome)]).strip()
    yield table(columns, rows, title="Calibration", note=note)
    bins = [
        (
            model,
            _values.count(each.requests),
            _values.number(each.mean_score),
            _values.percent(each.outcome_rate),
        )
        for model, side in sides
        for each in side.bins
    ]
    columns = ("model", *right("requests", "mean score", "came true"))
    yield table(columns, bins, title="Calibration by bin", behind=True)


def _calibration_differences(outcome: Outcome) -> Iterator[str]:
    found = (
        ("Brier score", outcome.brier_difference, outcome.brier_difference_interval),
        ("calibration error", outcome.calibration_difference, outcome.calibration_difference_interval),
    )
    for name, difference, interval in found:
        if difference is not None:
            ends = f" ({_values.between(interval, _values.signed)})" if interval else ""
            yield f"{name}, shadow less primary: {_values.signed(difference)}{ends}; less is better."


def _horizons(outcome: Outcome) -> Table:
    rows = []
    for each in outcome.horizons:
        found = each.correctness
        rows.append(
            (
                _values.many(each.days, "day"),
                _values.count(each.due),
                _values.count(each.labelled),
                _values.percent(found.primary.value if found else None),
                _values.percent(found.shadow.value if found else None),
                _values.points(found.difference if found else None),
                _values.between(found.difference_interval if found else None, _values.points),
            )
        )
    names = ("due", "labelled", "primary right", "shadow right", "difference", "interval")
    return table(("labels within", *right(*names)), rows, title="By horizon")


def _reweighted(outcome: Outcome) -> Table:
    rows = [
        (
            visible(each.segment, 40),
            _values.percent(each.primary),
            _values.percent(each.shadow),
            _values.points(each.difference),
            _values.percent(each.reached),
        )
        for each in outcome.reweighted[:_MOST_GROUPS]
    ]
    columns = (Column("segment", "data"), *right("primary right", "shadow right", "difference", "reached"))
    note = "Had the segment's values the shares among labels that they have among the compared requests."
    note += _more(len(outcome.reweighted), "segment")
    return table(columns, rows, title="Reweighted by segment", note=note)


def _coverage(outcome: Outcome) -> Table:
    rows = [
        (
            f"{visible(each.segment, 40)} = "
            + ("(none)" if each.value is None else visible(each.value, 40) or "(empty)"),
            _values.count(each.labelled.part),
            _values.count(each.labelled.whole),
            _values.percent(each.labelled.value),
            _values.p_value(each.p_value),
        )
        for each in outcome.coverage[:_MOST_GROUPS]
    ]
    columns = (Column("group", "data"), *right("labelled", "of", "rate", "p"))
    note = "The least covered first: what is known of the labelled may not hold for these."
    note += _more(len(outcome.coverage), "group")
    return table(columns, rows, title="Who has a label", note=note)


def _more(found: int, what: str) -> str:
    """How many are not in a table, where some are not."""
    return f" And {_values.many(found - _MOST_GROUPS, f'more {what}')}." if found > _MOST_GROUPS else ""
