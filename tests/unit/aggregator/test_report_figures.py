"""The report's figures against numpy's and scipy's, and against counts made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import LabelCount
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction
from unit.aggregator.report_lake import NOON, Row, comparison, error, hook, land

NAN, INF = math.nan, math.inf


def report_of(
    folder: Path,
    comparisons: Sequence[Row] = (),
    errors: Sequence[Row] = (),
    ledger: Sequence[Row] = (),
    by: Sequence[str] = (),
) -> Report:
    """Land these rows and read the report."""
    return read_report(land(folder, comparisons, errors, ledger), Scope("ranker", "challenger"), by=by)


def scored(pairs: Sequence[tuple[float | None, float | None]]) -> list[Row]:
    """A comparison for each pair of scores."""
    return [comparison(n, primary_score=p, shadow_score=s) for n, (p, s) in enumerate(pairs)]


def test_counts_and_rates(tmp_path: Path) -> None:
    """Requests are compared or errored; agreement is over the compared, the error rate over all."""
    rows = [comparison(n, agreement=n % 4 != 0) for n in range(20)]
    report = report_of(tmp_path, rows, [error(n) for n in range(20, 25)])
    assert (report.requests, report.compared, report.errored) == (25, 20, 5)
    assert (report.agreements, report.disagreements, report.agreement_rate) == (15, 5, 0.75)
    assert report.error_rate == 0.2


def test_ignored_pairs_are_counted_and_in_no_agreement_rate(tmp_path: Path) -> None:
    """A pair that a rule ignores is compared and timed, and neither agreement nor disagreement."""
    ignored = {"agreement": False, "comparator": "ignored:label=unknown", "segments": [("plan", "free")]}
    free = {"segments": [("plan", "free")]}
    rows = [
        *(comparison(n, **free) for n in range(3)),
        comparison(3, agreement=False, difference=0.5, **free),
        *(comparison(n, **ignored) for n in range(4, 10)),
        comparison(10, **ignored | {"segments": [("plan", "pro")]}),
    ]
    report = report_of(tmp_path, rows, by=["plan"])
    assert (report.compared, report.ignored, report.agreements, report.disagreements) == (11, 7, 3, 1)
    assert report.agreement_rate == 0.75
    assert [each.request_id for each in report.largest_disagreements] == ["r3"]
    assert report.comparators == ("score:0.05",)
    assert [(each.value, each.agreement_rate) for each in report.segments[0].groups] == [
        ("free", 0.75),
        ("pro", None),
    ]
    assert report.latency is not None
    assert report.latency.requests == 11


def test_an_agreement_that_is_unknown_is_none(tmp_path: Path) -> None:
    """A row without an answer to "do they agree" counts as a disagreement, and is not left out."""
    report = report_of(tmp_path, [comparison(1), comparison(2, agreement=None)])
    assert (report.agreement_rate, report.disagreements) == (0.5, 1)


latencies = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


@settings(max_examples=15, deadline=None)
@given(latencies, st.randoms(use_true_random=False))
def test_percentiles_are_numpys(values: list[float], shuffle: Any) -> None:
    """p50, p95 and p99 of both models are numpy's, over the raw rows of several files."""
    other = [value / 2 for value in values]
    rows = [
        comparison(n, primary_latency_ms=p, shadow_latency_ms=s)
        for n, (p, s) in enumerate(zip(other, values, strict=True))
    ]
    shuffle.shuffle(rows)
    with TemporaryDirectory() as folder:
        land(Path(folder), rows[: len(rows) // 2])
        latency = report_of(Path(folder), rows[len(rows) // 2 :]).latency
    assert latency is not None
    for side, raw in ((latency.primary, other), (latency.shadow, values)):
        found = (side.p50_ms, side.p95_ms, side.p99_ms)
        assert found == pytest.approx(tuple(np.quantile(raw, [0.5, 0.95, 0.99])), rel=1e-9, abs=1e-12)


def test_latencies_are_told_apart_by_how_they_were_timed(tmp_path: Path) -> None:
    """Warm-up and amortized latencies are shown, and kept out of the percentiles that count."""
    rows = [
        *(comparison(n, shadow_latency_ms=10.0) for n in range(5)),
        *(comparison(n, shadow_latency_ms=900.0, latency_basis="warmup") for n in range(5, 8)),
        *(comparison(n, shadow_latency_ms=1.0, latency_basis="amortized") for n in range(8, 10)),
    ]
    report = report_of(tmp_path, rows)
    assert report.latency is not None
    assert (report.latency.requests, report.latency.shadow.p99_ms) == (5, 10.0)
    shown = {each.basis: (each.requests, each.shadow.p50_ms) for each in report.latencies}
    assert shown == {"single": (5, 10.0), "warmup": (3, 900.0), "amortized": (2, 1.0)}


def test_latencies_that_are_none_are_left_out_and_counted(tmp_path: Path) -> None:
    """Unmeasured, NaN, infinite and negative latencies are in no percentile, and in the counts."""
    values: list[float | None] = [5.0, None, None, NAN, INF, -1.0]
    rows = [comparison(n, primary_latency_ms=value) for n, value in enumerate(values)]
    latency = report_of(tmp_path, rows).latency
    assert latency is not None
    primary = latency.primary
    assert (primary.measured, primary.unmeasured, primary.unusable) == (1, 2, 3)
    assert (primary.p50_ms, primary.p99_ms) == (5.0, 5.0)


def test_no_latency_is_no_percentile(tmp_path: Path) -> None:
    """Where nothing was measured the percentiles are unknown, not 0."""
    latency = report_of(tmp_path, [comparison(1, primary_latency_ms=None)]).latency
    assert latency is not None
    assert (latency.primary.p50_ms, latency.primary.p99_ms, latency.primary.curve) == (None, None, ())


scores = st.one_of(st.floats(-1e9, 1e9), st.integers(0, 100).map(lambda n: n / 100))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=80))
def test_the_score_distance_is_scipys_over_numpys_bins(pairs: list[tuple[float, float]]) -> None:
    """The histograms are numpy's over the range of both models, and the distance is scipy's of them."""
    with TemporaryDirectory() as folder:
        found = report_of(Path(folder), scored(pairs)).scores
    assert found is not None
    primary, shadow = np.array(pairs).T
    low, high = min(primary.min(), shadow.min()), max(primary.max(), shadow.max())
    if np.any(np.diff(np.linspace(low, high, 51)) <= 0):
        assert found.distance == 0.0
        return
    expected = [np.histogram(each, bins=50, range=(low, high))[0] for each in (primary, shadow)]
    assert found.primary == tuple(expected[0])
    assert found.shadow == tuple(expected[1])
    distance = float(jensenshannon(*expected))
    assert found.distance == pytest.approx(0.0 if math.isnan(distance) else distance, abs=1e-8)


def test_a_score_beyond_the_primarys_range_does_not_vanish(tmp_path: Path) -> None:
    """The bins cover both models: scores that only the shadow gives are in them."""
    found = report_of(tmp_path, scored([(0.1, 5.0), (0.2, 0.1), (0.3, -5.0)])).scores
    assert found is not None
    assert (found.edges[0], found.edges[-1]) == (-5.0, 5.0)
    assert (sum(found.primary), sum(found.shadow)) == (3, 3)


def test_a_score_on_an_edge_lies_in_the_bin_that_begins_there(tmp_path: Path) -> None:
    """Scores of two decimals, which all lie on edges, are binned to the last digit as numpy does."""
    grid = [(n / 100, (100 - n) / 100) for n in range(101)]
    found = report_of(tmp_path, scored(grid)).scores
    assert found is not None
    assert found.primary == tuple(np.histogram([p for p, _ in grid], bins=50, range=(0, 1))[0])
    assert found.distance == 0.0


def test_one_score_alone_has_distance_zero(tmp_path: Path) -> None:
    """Two models that always give the same one score do not differ."""
    found = report_of(tmp_path, scored([(0.5, 0.5)] * 3)).scores
    assert found is not None
    assert found.distance == 0.0


def test_scores_that_are_no_numbers_are_counted_apart(tmp_path: Path) -> None:
    """NaN, infinite and absent scores are in no bin, and each in its count."""
    pairs = [(0.1, 0.2), (0.3, NAN), (INF, 0.4), (0.5, -INF), (0.6, None), (None, None)]
    found = report_of(tmp_path, scored(pairs)).scores
    assert found is not None
    assert (found.primary_not_finite, found.shadow_not_finite, found.one_sided) == (1, 2, 1)
    assert (sum(found.primary), sum(found.shadow)) == (4, 2)
    assert found.primary_median == pytest.approx(np.median([0.1, 0.3, 0.5, 0.6]))


def test_a_shadow_that_gives_only_nan_has_no_distance(tmp_path: Path) -> None:
    """Nothing can be said of a distribution that has no numbers."""
    report = report_of(tmp_path, scored([(0.1, NAN), (0.2, NAN)]))
    assert report.scores is not None
    assert (report.scores.distance, report.distance, report.distribution_of) == (None, None, None)


def test_labels_are_compared_by_category(tmp_path: Path) -> None:
    """Where predictions are labels, the distance is over how often each model gives each."""
    answers = [("cat", "cat")] * 6 + [("dog", "cat")] * 2 + [("dog", "owl")] * 2
    rows = [
        comparison(n, primary_score=None, shadow_score=None, primary_label=p, shadow_label=s)
        for n, (p, s) in enumerate(answers)
    ]
    report = report_of(tmp_path, rows)
    assert report.scores is None
    assert report.labels is not None
    assert set(report.labels.labels) == {
        LabelCount(label="cat", primary=6, shadow=8),
        LabelCount(label="dog", primary=4, shadow=0),
        LabelCount(label="owl", primary=0, shadow=2),
    }
    assert report.distance == pytest.approx(float(jensenshannon([6, 4, 0], [8, 0, 2])))
    assert report.distribution_of == "labels"


def test_a_label_with_its_confidence_is_judged_by_the_score(tmp_path: Path) -> None:
    """Where both models give labels and scores, both distances are shown and the scores' one counts."""
    rows = [comparison(n, primary_label="a", shadow_label="b") for n in range(3)]
    report = report_of(tmp_path, rows)
    assert report.labels is not None
    assert report.labels.distance == pytest.approx(math.sqrt(math.log(2)))
    assert (report.distribution_of, report.distance) == ("scores", 0.0)


def test_rare_labels_are_added_up(tmp_path: Path) -> None:
    """Labels beyond the most frequent are shown together, and all count in the distance."""
    rows = [
        comparison(n, primary_score=None, shadow_score=None, primary_label=f"l{n:02}", shadow_label="l00")
        for n in range(30)
    ]
    labels = report_of(tmp_path, rows).labels
    assert labels is not None
    assert len(labels.labels) == 20
    assert labels.other == LabelCount(label=None, primary=10, shadow=0)
    assert labels.distance == pytest.approx(float(jensenshannon([1] * 30, [30] + [0] * 29)))


def test_errors_by_stage_and_type(tmp_path: Path) -> None:
    """Errors are counted by stage, and by type within, with rates over all requests and an example."""
    rows = [
        *(error(n) for n in range(3)),
        error(3, error_type="ValueError", message="too long"),
        error(4, stage="timeout", error_type="PredictTimeout"),
    ]
    report = report_of(tmp_path, [comparison(n) for n in range(5, 10)], rows)
    found = [
        (stage.stage, stage.requests, stage.rate, [(e.error_type, e.requests, e.rate) for e in stage.types])
        for stage in report.errors
    ]
    assert found == [
        ("predict", 4, 0.4, [("KeyError", 3, 0.3), ("ValueError", 1, 0.1)]),
        ("timeout", 1, 0.1, [("PredictTimeout", 1, 0.1)]),
    ]
    assert report.errors[0].types[1].example == "too long"


def test_messages_that_could_not_be_read_are_no_requests(tmp_path: Path) -> None:
    """Rubbish on a shared topic is shown and counted apart: no model was asked, so none is charged."""
    rubbish = [
        error(n, request_id=None, event_time=None, stage="decode", error_type="ForeignMessageError")
        for n in range(300, 310)
    ]
    rows = [comparison(n) for n in range(299)]
    report = report_of(tmp_path, rows, [error(299), *rubbish], [hook("a", delivered=300)])
    assert (report.requests, report.errored, report.error_rate) == (300, 1, 1 / 300)
    assert report.undecodable == 10
    assert [(each.stage, each.requests, each.counted, each.rate) for each in report.errors] == [
        ("predict", 1, True, 1 / 300),
        ("decode", 10, False, None),
    ]
    assert report.last_request == NOON + timedelta(seconds=299)
    assert report.ledger is not None
    assert (report.ledger.unexplained, report.ledger.uncounted) == (0, 0)


def test_a_lake_that_holds_more_than_was_counted(tmp_path: Path) -> None:
    """Nothing is unexplained then, and never less than nothing: the surplus is a figure of its own."""
    ledger = report_of(tmp_path, [comparison(n) for n in range(30)], [], [hook("a", delivered=20)]).ledger
    assert ledger is not None
    assert (ledger.unexplained, ledger.uncounted) == (0, 10)


def test_many_types_of_error_are_added_up(tmp_path: Path) -> None:
    """Types beyond the most frequent ones are counted together, none is lost."""
    [stage] = report_of(tmp_path, [], [error(n, error_type=f"E{n:02}") for n in range(14)]).errors
    assert (len(stage.types), stage.other_types, stage.requests) == (10, 4, 14)


def test_segments_worst_first(tmp_path: Path) -> None:
    """Each group has its requests, agreement and errors; the worst is first and small ones come last."""

    def of(country: str) -> list[tuple[str, str]]:
        return [("country", country), ("device", "phone")]

    rows = [
        *(comparison(n, segments=of("DE")) for n in range(150)),
        *(comparison(n, segments=of("BR"), agreement=n % 2 == 0) for n in range(150, 250)),
        *(comparison(n) for n in range(300, 305)),
    ]
    [segment, *_] = report_of(
        tmp_path, rows, [error(n, segments=of("BR")) for n in range(250, 275)], by=["country"]
    ).segments
    shown = [
        (g.value, g.requests, g.compared, g.agreement_rate, g.errored, g.error_rate, g.is_small)
        for g in segment.groups
    ]
    assert shown == [
        ("BR", 125, 100, 0.5, 25, 0.2, False),
        ("DE", 150, 150, 1.0, 0, 0.0, False),
        (None, 5, 5, 1.0, 0, 0.0, True),
    ]
    assert segment.other is None


def test_a_group_with_errors_alone_has_no_agreement(tmp_path: Path) -> None:
    """A cohort on which the shadow always fails is the first shown, with its agreement unknown."""
    rows = [comparison(n, segments=[("c", "ok")]) for n in range(100)]
    bad = [error(n, segments=[("c", "bad")]) for n in range(100, 200)]
    [segment] = report_of(tmp_path, rows, bad, by=["c"]).segments
    first = segment.groups[0]
    assert (first.value, first.agreement_rate, first.error_rate) == ("bad", None, 1.0)


def test_many_groups_are_added_up(tmp_path: Path) -> None:
    """Values beyond the most frequent fifty are shown as one group: no request is lost."""
    rows = [comparison(n, segments=[("user", f"u{n:03}")]) for n in range(60)]
    [segment] = report_of(tmp_path, rows, by=["user"]).segments
    assert len(segment.groups) == 50
    assert segment.other is not None
    assert segment.other.requests == 10


def test_two_segments_in_the_order_asked(tmp_path: Path) -> None:
    """Several segments are each broken down, in the order in which they were named."""
    rows = [comparison(1, segments=[("a", "1"), ("b", "2")])]
    found = report_of(tmp_path, rows, by=["b", "a"]).segments
    assert [(each.name, each.groups[0].value) for each in found] == [("b", "2"), ("a", "1")]


def test_a_segment_that_no_request_has_is_refused(tmp_path: Path) -> None:
    """A misspelt segment says which there are; with no requests at all there is nothing to refuse."""
    assert report_of(tmp_path / "empty", by=["contry"]).segments[0].groups == ()
    with pytest.raises(SettingsError, match="no request has a segment 'contry'; known are: country"):
        report_of(tmp_path / "lake", [comparison(1, segments=[("country", "DE")])], by=["contry"])


def test_the_ledger_takes_each_hooks_latest_entry(tmp_path: Path) -> None:
    """Counts grow since a hook's start: its latest entry stands, a restart adds a new count."""
    earlier = NOON + timedelta(minutes=1)
    entries = [
        hook("a", observed=100, sampled_out=50, published=45, dropped=[("queue_full", 5)], delivered=45),
        hook("a", observed=10, published=10, delivered=9, recorded_at=earlier, final=False),
        hook(
            "a", started_at=earlier, observed=7, published=6, dropped=[("too_large", 1)],
            delivered=6, final=False,
        ),
        hook("worker", role="worker", observed=999),
    ]  # fmt: skip
    rows = [comparison(n) for n in range(40)]
    ledger = report_of(tmp_path, [*rows, rows[0]], [error(40), error(41), error(1)], entries).ledger
    assert ledger is not None
    assert (ledger.hooks, ledger.still_counting) == (2, 1)
    assert (ledger.observed, ledger.sampled_out, ledger.published, ledger.delivered) == (107, 50, 51, 51)
    assert ledger.dropped == {"queue_full": 5, "too_large": 1}
    assert ledger.unexplained == 51 - 42


def test_a_window_leaves_the_remainder_unknown(tmp_path: Path) -> None:
    """The hooks' counts know no window, so what is missing within one cannot be told."""
    land(tmp_path, [comparison(1)], [], [hook("a", delivered=5)])
    ledger = read_report(tmp_path, Scope("ranker", "challenger", start=NOON)).ledger
    assert ledger is not None
    assert (ledger.delivered, ledger.unexplained) == (5, None)


def test_the_largest_disagreements(tmp_path: Path) -> None:
    """The ten furthest apart come first, whichever is higher; one that is no number before all.

    A pair without any difference comes last.
    """
    rows = [
        *(comparison(n, agreement=False, difference=n / 10 * (-1) ** n) for n in range(1, 13)),
        comparison(20, agreement=False, difference=None),
        comparison(21, agreement=False, difference=NAN, shadow_score=NAN),
        comparison(22, agreement=True, difference=99.0),
    ]
    found = report_of(tmp_path, rows).largest_disagreements
    assert [each.request_id for each in found] == ["r21", *(f"r{n}" for n in range(12, 3, -1))]
    assert found[1].difference == 1.2
    assert found[1].primary == Prediction(score=0.5)


def test_a_confident_flip_is_the_worst_disagreement(tmp_path: Path) -> None:
    """Different labels rank by how sure the two models are together, and show no signed difference."""

    def flip(n: int, primary: float | None, shadow: float | None, **changes: Any) -> Row:
        found = {"primary_label": "fraud", "shadow_label": "ok", "agreement": False, **changes}
        difference = (shadow or 0) - (primary or 0)
        return comparison(n, primary_score=primary, shadow_score=shadow, difference=difference, **found)

    rows = [
        flip(1, 0.6, 0.9),
        flip(2, 0.99, 0.99),
        flip(3, 0.51, 0.52),
        flip(4, None, None),
        flip(5, 0.1, 0.99, shadow_label="fraud"),
        flip(6, 0.1, 0.5, shadow_label="fraud"),
    ]
    found = report_of(tmp_path, rows).largest_disagreements
    assert [each.request_id for each in found] == ["r2", "r1", "r3", "r4", "r5", "r6"]
    assert [each.difference for each in found[:4]] == [None] * 4
    assert [each.difference for each in found[4:]] == pytest.approx([0.89, 0.4])


def test_long_vectors_and_rankings_are_cut(tmp_path: Path) -> None:
    """A disagreement shows the first eight of a vector or ranking."""
    row = comparison(
        1, agreement=False, primary_vector=[float(n) for n in range(100)], shadow_ranking=["a", "b"]
    )
    [found] = report_of(tmp_path, [row]).largest_disagreements
    assert found.primary.vector == [float(n) for n in range(8)]
    assert found.shadow.ranking == ["a", "b"]


def test_versions_and_comparators_seen(tmp_path: Path) -> None:
    """A report says which versions it takes together, and by which rules they were compared."""
    rows = [comparison(1), comparison(2), comparison(3, shadow_version="3", comparator="label")]
    report = report_of(tmp_path, rows)
    assert [(v.model_version, v.shadow_version, v.compared) for v in report.versions] == [
        ("1", "2", 2),
        ("1", "3", 1),
    ]
    assert report.comparators == ("score:0.05", "label")


def test_the_same_lake_gives_the_same_report(tmp_path: Path) -> None:
    """Read twice, the report is equal to the last digit."""
    rng = np.random.default_rng(7)
    rows = [
        comparison(n, primary_score=float(p), shadow_score=float(s), agreement=bool(p < s))
        for n, (p, s) in enumerate(rng.random((500, 2)))
    ]
    assert report_of(tmp_path, rows) == read_report(tmp_path, Scope("ranker", "challenger"))
