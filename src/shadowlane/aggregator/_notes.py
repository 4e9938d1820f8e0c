"""What a reader of the figures must know to read them right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator import _values
from shadowlane.aggregator._report import Report

_CROWDED = 0.98

_TIMED = {
    "warmup": "were among the first calls after a load (warm-up)",
    "amortized": "were timed as shares of a batch (amortized)",
}


def notes(report: Report) -> tuple[str, ...]:
    """The sentences, in plain text; names from data are made visible."""
    return tuple(
        note
        for part in (_of_data(report), _of_latency(report), _of_distributions(report), _of_counts(report))
        for note in part
    )


def _of_data(report: Report) -> Iterator[str]:
    if report.table_versions.get("comparisons") is None:
        yield "The lake has no table of comparisons yet: nothing has landed, or this is another folder."
    if len(report.versions) > 1:
        pairs = ", ".join(
            f"{_values.visible(each.model_version) or '(none)'} against "
            f"{_values.visible(each.shadow_version) or '(none)'} ({each.compared:,})"
            for each in report.versions[:5]
        )
        yield f"Several pairs of versions are taken together: {pairs}."
    if len(report.comparators) > 1:
        rules = ", ".join(_values.visible(name) for name in report.comparators)
        yield f"Agreement was decided by several comparators: {rules}."


def _of_latency(report: Report) -> Iterator[str]:
    for each in report.latencies:
        if each.basis != "single":
            how = _TIMED.get(each.basis, f"were timed in another way ({_values.visible(each.basis)})")
            yield f"{each.requests:,} requests {how}; they are kept out of the percentiles."
    latency = report.latency
    if latency and latency.primary.unmeasured:
        yield f"The primary's latency was not measured on {latency.primary.unmeasured:,} requests."
    for name, side in (("primary", latency and latency.primary), ("shadow", latency and latency.shadow)):
        if side and side.unusable:
            yield f"{side.unusable:,} latencies of the {name} are NaN, infinite or negative, and left out."


def _of_distributions(report: Report) -> Iterator[str]:
    scores = report.scores
    if not scores:
        return
    for name, bad in (("primary", scores.primary_not_finite), ("shadow", scores.shadow_not_finite)):
        if bad:
            yield f"{bad:,} scores of the {name} are NaN or infinite, and in no bin."
    if scores.one_sided:
        yield f"On {scores.one_sided:,} requests only one of the two models gave a score."
    both = [p + s for p, s in zip(scores.primary, scores.shadow, strict=True)]
    if sum(both) and max(both) / sum(both) >= _CROWDED and max(both) < sum(both):
        share = _values.percent(max(both) / sum(both), 1)
        yield f"{share} of the scores lie in one bin: a few far values stretch it, and hide the rest."


def _of_counts(report: Report) -> Iterator[str]:
    found = report.duplicates
    if found.repeated_rows:
        yield f"{found.repeated_rows:,} rows had landed before (at the same place of the topic): not counted."
    if found.repeated_requests:
        yield f"{found.repeated_requests:,} comparisons repeat a request_id: its first comparison counts."
    if found.repeated_errors:
        yield f"{found.repeated_errors:,} errors came before another of the same request: the last counts."
    if found.recovered:
        yield f"{found.recovered:,} requests failed first and were compared later: they count as compared."
    if report.ledger and report.ledger.unexplained:
        gap = report.ledger.unexplained
        if gap > 0:
            yield f"{gap:,} requests were delivered by the hooks and are not in the lake: waiting, or lost."
        else:
            yield f"The lake holds {-gap:,} requests more than the hooks' counts say: they may be late."
