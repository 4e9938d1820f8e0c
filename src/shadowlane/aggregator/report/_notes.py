"""What a reader of the figures must know to read them right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible

CROWDED = 0.98
_MANY_LOST = 0.01
_KNOWN_RUNS = 12
_LONGEST = 500

_TIMED = {
    "warmup": "among the first calls after a load (warm-up)",
    "amortized": "timed as shares of a batch (amortized)",
}


def notes(report: Report) -> tuple[str, ...]:
    """The sentences, in plain text; names from data are made visible."""
    return tuple(
        note
        for part in (
            _of_data(report),
            _of_latency(report),
            _of_distributions(report),
            _of_counts(report),
            (visible(note, _LONGEST) for note in report.segment_notes),
            _of_ledger(report),
        )
        for note in part
    )


def _of_data(report: Report) -> Iterator[str]:
    if report.table_versions.get("comparisons") is None:
        yield "The lake has no table of comparisons yet: nothing has landed, or this is another folder."
    if report.known_runs:
        yield _instead(report)
    if len(report.versions) > 1:
        pairs = ", ".join(
            f"{visible(each.model_version) or '(none)'} against "
            f"{visible(each.shadow_version) or '(none)'} ({each.compared:,})"
            for each in report.versions[:5]
        )
        yield f"Several pairs of versions are taken together: {pairs}."
    if len(report.comparators) > 1:
        rules = ", ".join(visible(name) for name in report.comparators)
        yield f"Agreement was decided by several comparators: {rules}."


def _instead(report: Report) -> str:
    scope, known = report.scope, report.known_runs
    window = "" if scope.is_whole else " in this window"
    shown = ", ".join(
        f"{visible(each.model)} → {visible(each.shadow)}"
        + ("" if each.run == "live" else f" (run {visible(each.run)})")
        for each in known[:_KNOWN_RUNS]
    )
    more = f" and {len(known) - _KNOWN_RUNS:,} more" if len(known) > _KNOWN_RUNS else ""
    asked = f"{scope.model} → {scope.shadow}, run {scope.run},"
    return f"No request of {asked} is in the lake{window}; the lake knows: {shown}{more}."


def _of_latency(report: Report) -> Iterator[str]:
    for each in report.latencies:
        if each.basis != "single":
            how = _TIMED.get(each.basis, f"timed in another way ({visible(each.basis)})")
            yield f"{_values.many(each.requests, 'request')} {how}: kept out of the percentiles."
    latency = report.latency
    if latency and latency.primary.unmeasured:
        unmeasured = _values.many(latency.primary.unmeasured, "request")
        yield f"The primary's latency was not measured on {unmeasured}."
    for name, side in (("primary", latency and latency.primary), ("shadow", latency and latency.shadow)):
        if side and side.unusable:
            yield f"Latencies of the {name} that are NaN, infinite or negative, left out: {side.unusable:,}."


def _of_distributions(report: Report) -> Iterator[str]:
    scores = report.scores
    if not scores:
        return
    for name, bad in (("primary", scores.primary_not_finite), ("shadow", scores.shadow_not_finite)):
        if bad:
            yield f"{_values.many(bad, 'score')} of the {name} NaN or infinite: in no bin."
    if scores.one_sided:
        yield f"Only one of the two models gave a score on {_values.many(scores.one_sided, 'request')}."
    both = [p + s for p, s in zip(scores.primary, scores.shadow, strict=True)]
    if sum(both) and max(both) / sum(both) >= CROWDED and max(both) < sum(both):
        share = _values.percent(max(both) / sum(both), 1)
        yield f"{share} of the scores lie in one bin: a few far values stretch it, and hide the rest."


def _of_counts(report: Report) -> Iterator[str]:
    found, many = report.duplicates, _values.many
    if report.undecodable:
        messages = many(report.undecodable, "message")
        yield f"{messages} on the topic could not be read; no model was asked, and none is charged."
    if report.ignored:
        yield f"{many(report.ignored, 'compared request')} ignored by a rule: in no agreement rate."
    if found.repeated_rows:
        yield f"{many(found.repeated_rows, 'row')} landed again (the same place of the topic): not counted."
    if found.repeated_requests:
        again = many(found.repeated_requests, "comparison")
        yield f"{again} of a request_id seen before: a request's first comparison counts."
    if found.repeated_errors:
        yield f"{many(found.repeated_errors, 'earlier error')} of the same request: its last error counts."
    if found.recovered:
        again = many(found.recovered, "request")
        yield f"{again} failed first and came to be compared later: counted as compared."


def _of_ledger(report: Report) -> Iterator[str]:
    ledger, many = report.ledger, _values.many
    if not ledger:
        return
    lost = sum(ledger.dropped.values()) + ledger.failed
    if ledger.observed and lost / ledger.observed > _MANY_LOST:
        yield (
            f"{_values.percent(lost / ledger.observed, 1)} of the observed requests were dropped or "
            "could not be delivered. Drops are not random (they come with load and large requests): "
            "the figures may not speak for all requests."
        )
    open_ends = max(0, ledger.published - ledger.delivered - ledger.failed)
    if ledger.still_counting and (open_ends or ledger.uncounted):
        yield (
            f"The counts of {many(ledger.still_counting, 'hook')} end early: the last entry is not a final "
            "one (still running, or ended without closing). What came later is in no count"
            + (f", and the end of {many(open_ends, 'published request')} is unknown." if open_ends else ".")
        )
    if ledger.unexplained:
        unread = ", or among those that could not be read" if report.undecodable else ""
        missing = many(ledger.unexplained, "request")
        yield f"{missing} delivered by the hooks and not in the lake: waiting, or lost{unread}."
    if ledger.uncounted:
        yield (
            f"The lake holds {many(ledger.uncounted, 'request')} more than the hooks' counts say: "
            "the counts may be late, or other programs publish."
        )
