"""How both models' predictions are spread, and how far apart."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import PRIMARY, SHADOW, Column, Section, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Divergence, LabelDistribution, ScoreDistribution
from shadowlane.visible import visible

_MOST_LABELS = 20
_MOST_FLIPS = 10


def distributions(report: Report) -> Iterator[Section]:
    """Scores and labels."""
    tables: list[Table] = []
    if report.scores and report.scores.edges:
        tables += _scores(report.scores)
    if report.labels:
        tables += _labels(report.labels)
    if tables:
        of = report.distribution_of
        judged = f"The gate's distance is that of the {of}: {_values.distance(report.distance)}."
        lead = (judged,) if of else ()
        yield Section(key="predictions", title="Predictions", lead=lead, tables=tuple(tables))


def _scores(found: ScoreDistribution) -> Iterator[Table]:
    number = _values.number
    yield table(
        ("model", *right("scores", "mean", "median", "NaN or infinite")),
        [
            (
                PRIMARY,
                _values.count(sum(found.primary)),
                number(found.primary_mean),
                number(found.primary_median),
                _values.count(found.primary_not_finite),
            ),
            (
                SHADOW,
                _values.count(sum(found.shadow)),
                number(found.shadow_mean),
                number(found.shadow_median),
                _values.count(found.shadow_not_finite),
            ),
        ],
        title="Scores",
    )
    rows = [*_distances(found.distance, found.divergence)]
    if found.kolmogorov_smirnov is not None:
        rows.append(("Kolmogorov-Smirnov", _values.distance(found.kolmogorov_smirnov), "0 to 1"))
    if found.wasserstein is not None:
        rows.append(("Wasserstein", number(found.wasserstein), "in units of the score"))
    yield table(("scores apart by", *right("value"), "what it is held against"), rows)
    bins = zip(found.edges, found.edges[1:], found.primary, found.shadow, strict=False)
    yield table(
        right("from", "to", "primary", "shadow"),
        [(number(low), number(high), _values.count(p), _values.count(s)) for low, high, p, s in bins],
        title="Scores by bin",
        behind=True,
    )


def _distances(distance: float | None, found: Divergence | None) -> Iterator[tuple[str, str, str]]:
    yield "Jensen-Shannon distance", _values.distance(distance), "0 the same, 0.8326 nothing in common"
    if found is None:
        return
    if found.p_value is not None:
        null = (
            f"of 100 swaps of the two answers to a request, 95 stay below {_values.distance(found.null_p95)}"
        )
        yield "… by chance, p", _values.p_value(found.p_value), null
    bits, bias = (_values.distance(each, 6) for each in (found.bits, found.bias_bits))
    yield "Jensen-Shannon divergence, bits", bits, f"{bias} from samples of this size alone"
    yield "population stability index", _values.distance(found.psi), "0.1 a little, 0.25 much"


def _labels(found: LabelDistribution) -> Iterator[Table]:
    rows = [
        (visible(each.label or "(empty)", 60), f"{each.primary:,}", f"{each.shadow:,}")
        for each in found.labels[:_MOST_LABELS]
    ]
    if found.other:
        rows.append(("(all others)", f"{found.other.primary:,}", f"{found.other.shadow:,}"))
    yield table((Column("label", "data"), *right("primary", "shadow")), rows, title="Labels")
    yield table(
        ("labels apart by", *right("value"), "what it is held against"),
        [*_distances(found.distance, found.divergence)],
    )
    if found.flips:
        yield table(
            (Column("the primary said", "data"), Column("the shadow said", "data"), *right("requests")),
            [
                (visible(each.primary, 60), visible(each.shadow, 60), f"{each.requests:,}")
                for each in found.flips[:_MOST_FLIPS]
            ],
            title="Different labels, the most frequent",
        )
