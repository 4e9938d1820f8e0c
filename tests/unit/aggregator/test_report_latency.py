"""Latencies against numpy's and scipy's: percentiles, their intervals, pairs, and the slow tail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from shadowlane.aggregator.report import _ranked
from shadowlane.aggregator.report._ranked import Buckets, Ranked, Shelves, total
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import LatencyBasis
from unit.aggregator.report_lake import NOON, Row, comparison, land

NAN, INF = math.nan, math.inf
LEVELS = [0.0, 0.25, 0.5, 0.95, 0.99, 1.0]

floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1e4),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -1.5]),
)
values = arrays(np.float64, st.integers(1, 200), elements=floats)


def latencies_of(folder: Path, rows: list[Row]) -> tuple[LatencyBasis, ...]:
    """Land these rows and read their latencies."""
    scope = Scope("ranker", "challenger")
    return read_report(land(folder, rows), scope, sections={"latency", "freshness"}).latencies


def timed(pairs: Sequence[tuple[float | None, float | None]], **changes: str) -> list[Row]:
    """A comparison for each pair of latencies."""
    return [
        comparison(n, primary_latency_ms=p, shadow_latency_ms=s, **changes) for n, (p, s) in enumerate(pairs)
    ]


@given(values, st.sampled_from([16, 256, 1 << 16]))
def test_values_at_ranks_are_those_of_the_sorted_values(array: np.ndarray, buckets: int) -> None:
    """However the values are spread, and into however many buckets, the n-th smallest is the n-th sorted."""
    pieces = [array[::2], array[1::2]]
    shared = Buckets.over([piece for piece in pieces if len(piece)], buckets)
    found = Ranked(pieces, shared).at(range(len(array)))
    assert [found[rank] for rank in range(len(array))] == np.sort(array).tolist()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("buckets", [4, 1 << 16])
def test_many_equal_values_are_told_apart_from_those_beside_them(
    monkeypatch: pytest.MonkeyPatch, sign: float, buckets: int
) -> None:
    """Where one bucket holds more than is put in order, its values are shared out again."""
    monkeypatch.setattr(_ranked, "_FEW", 10)
    seven, next_to_it = sign * 7.0, sign * np.nextafter(7.0, 8.0)
    array = np.concatenate([np.full(500, seven), np.full(300, next_to_it), [1e300, 1e-300]])
    found = Ranked([array], Buckets.over([array], buckets)).at(range(802))
    assert list(found.values()) == np.sort(array).tolist()


@given(values)
def test_quantiles_are_numpys(array: np.ndarray) -> None:
    """Between the two nearest values in proportion, as numpy's default is."""
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.quantile(array / 2, LEVELS) * 2
    scale = max(1.0, float(np.abs(array).max()))
    for mine, numpys in zip(Ranked([array]).quantiles(LEVELS), expected, strict=True):
        assert mine / scale == pytest.approx(numpys / scale, abs=1e-12)


@given(values, st.lists(floats, max_size=20))
def test_shelves_are_numpys_digits(array: np.ndarray, edges: list[float]) -> None:
    """A value on an edge lies behind it, to the last digit, and -0.0 is 0.0."""
    buckets = Buckets.over([array], 64)
    shelves = Shelves(buckets, sorted(edges))
    assert shelves.of(array, buckets.codes(array)).tolist() == np.digitize(array, sorted(edges)).tolist()


def test_a_sum_does_not_depend_on_the_order() -> None:
    """Not even where large values cancel out and small ones remain."""
    array = np.random.default_rng(0).normal(0, 1e6, 100_000)
    array = np.concatenate([array, -array, np.full(1000, 1e-6)])
    sums = {f"{total([np.random.default_rng(seed).permutation(array)]):.6g}" for seed in range(5)}
    assert sums == {"0.001"}


def test_intervals_are_those_of_scipys_quantile_test(tmp_path: Path) -> None:
    """The p50, p95 and p99 lie between the order statistics that scipy's exact test leaves."""
    raw = np.random.default_rng(1).lognormal(2, 0.5, 1000)
    [found] = latencies_of(tmp_path, timed([(float(x) / 2, float(x)) for x in raw]))
    for level, interval in (
        (0.5, found.shadow.p50_interval),
        (0.95, found.shadow.p95_interval),
        (0.99, found.shadow.p99_interval),
    ):
        expected = stats.quantile_test(raw, p=level).confidence_interval(0.95)
        assert interval is not None
        assert (interval.low, interval.high) == (expected.low, expected.high)
        assert (interval.level, interval.method) == (0.95, "order statistics")
    assert found.primary.p99_interval is not None
    assert found.shadow.p99_interval is not None
    assert found.primary.p99_interval.high == found.shadow.p99_interval.high / 2


def test_too_few_requests_have_no_interval(tmp_path: Path) -> None:
    """A p99 of a hundred requests may lie anywhere beyond them: no interval says so."""
    [found] = latencies_of(tmp_path, timed([(1.0, float(n)) for n in range(100)]))
    assert found.shadow.p99_ms == pytest.approx(98.01)
    assert found.shadow.p99_interval is None
    assert found.shadow.p50_interval is not None


def test_differences_are_taken_request_by_request(tmp_path: Path) -> None:
    """The median difference is not the difference of the medians; unmeasured pairs are left out."""
    pairs = [(1.0, 11.0), (10.0, 10.5), (100.0, 99.0), (5.0, 5.0)]
    none: list[tuple[float | None, float | None]] = [(None, 7.0), (NAN, 7.0), (3.0, -1.0), (3.0, INF)]
    [found] = latencies_of(tmp_path, timed([*pairs, *none]))
    assert found.paired is not None
    assert found.paired.requests == 4
    assert found.paired.median_ms == pytest.approx(np.median([10.0, 0.5, -1.0, 0.0]))
    assert found.paired.p99_ms == pytest.approx(np.quantile([10.0, 0.5, -1.0, 0.0], 0.99))
    assert (found.paired.slower.part, found.paired.slower.whole) == (2, 4)
    assert found.paired.median_ratio == pytest.approx(np.median([11, 1.05, 0.99, 1]))
    assert (found.primary.measured, found.primary.unmeasured, found.primary.unusable) == (6, 1, 1)
    assert (found.shadow.measured, found.shadow.unmeasured, found.shadow.unusable) == (6, 0, 2)


def test_the_median_difference_has_scipys_interval(tmp_path: Path) -> None:
    """Also where some differences are below 0."""
    rng = np.random.default_rng(2)
    primary, shadow = rng.lognormal(2, 0.5, 500), rng.lognormal(2.1, 0.5, 500)
    [found] = latencies_of(tmp_path, timed([*zip(primary.tolist(), shadow.tolist(), strict=True)]))
    expected = stats.quantile_test(shadow - primary, p=0.5).confidence_interval(0.95)
    assert found.paired is not None
    assert found.paired.median_interval is not None
    interval = found.paired.median_interval
    assert (interval.low, interval.high) == (expected.low, expected.high)


def test_a_primary_that_takes_no_time_has_no_ratio(tmp_path: Path) -> None:
    """Nothing is ever divided by 0."""
    [found] = latencies_of(tmp_path, timed([(0.0, 1.0), (0.0, 0.0)]))
    assert found.paired is not None
    assert (found.paired.median_ms, found.paired.median_ratio) == (0.5, None)


def test_a_latency_of_one_model_alone_has_no_pairs(tmp_path: Path) -> None:
    """Where the primary was never measured there is no difference to tell."""
    [found] = latencies_of(tmp_path, timed([(None, 1.0), (None, 2.0)]))
    assert (found.paired, found.shadow.p50_ms) == (None, 1.5)


def test_the_tail_is_what_takes_ten_times_the_median(tmp_path: Path) -> None:
    """How many they are, how much of all time they take, and which are the slowest, in order."""
    slow = [100.0, 250.0, 99.99, 300.0]
    rows = timed([(2.0, 10.0)] * 50 + [(3.0, each) for each in slow])
    [found] = latencies_of(tmp_path, rows)
    assert found.tail is not None
    assert (found.tail.threshold_ms, found.tail.slow.part, found.tail.slow.whole) == (100.0, 3, 54)
    assert found.tail.of_whole_time == pytest.approx(650 / (500 + 749.99))
    shown = [(each.request_id, each.primary_ms, each.shadow_ms) for each in found.tail.slowest]
    assert shown == [("r53", 3.0, 300.0), ("r51", 3.0, 250.0), ("r50", 3.0, 100.0)]
    assert found.tail.rules is None


def test_ten_of_a_long_tail_are_shown_and_ties_go_by_time(tmp_path: Path) -> None:
    """Of requests that took equally long the earlier ones come first, in whichever order they landed."""
    rows = timed([(None, 1.0)] * 200 + [(None, 50.0)] * 15)
    rows[203]["event_time"] = NOON - timedelta(hours=5)
    [found] = latencies_of(tmp_path, [*reversed(rows)])
    assert found.tail is not None
    assert found.tail.slow.part == 15
    expected = ["r203", *(f"r{n}" for n in range(200, 210) if n != 203)]
    assert [each.request_id for each in found.tail.slowest] == expected
    assert {each.primary_ms for each in found.tail.slowest} == {None}


def test_the_slowest_are_found_where_no_time_is_known(tmp_path: Path) -> None:
    """A request without an event time is among them like any other."""
    rows = timed([(1.0, 1.0)] * 20 + [(1.0, 40.0), (1.0, 30.0)])
    rows[20]["event_time"] = None
    [found] = latencies_of(tmp_path, rows)
    assert found.tail is not None
    assert [each.request_id for each in found.tail.slowest] == ["r20", "r21"]


def test_each_way_of_timing_has_its_own_pairs_and_tail(tmp_path: Path) -> None:
    """A warm-up's seconds are in the tail of the warm-up alone."""
    rows = [
        *(comparison(n, shadow_latency_ms=10.0) for n in range(20)),
        *(comparison(n, shadow_latency_ms=5000.0, latency_basis="warmup") for n in range(20, 23)),
        *(comparison(n, shadow_latency_ms=5.0, latency_basis=None) for n in range(23, 25)),
    ]
    found = {each.basis: each for each in latencies_of(tmp_path, rows)}
    assert list(found) == ["single", "warmup", "unknown"]
    assert [each.paired and each.paired.median_ms for each in found.values()] == [0.0, 4990.0, -5.0]
    assert [each.tail and each.tail.slow.part for each in found.values()] == [0, 0, 0]
    assert [each.shadow.p99_ms for each in found.values()] == [10.0, 5000.0, 5.0]


def test_a_shadow_that_takes_no_time_has_no_tail(tmp_path: Path) -> None:
    """Ten times nothing is no threshold."""
    [found] = latencies_of(tmp_path, timed([(1.0, 0.0)] * 5 + [(1.0, 3.0)]))
    assert (found.tail, found.shadow.p50_ms) == (None, 0.0)


def test_a_gate_is_told_no_tail(tmp_path: Path) -> None:
    """Where latency is asked for alone, the requests' moments are not read for it."""
    land(tmp_path, timed([(1.0, 1.0)] * 20 + [(1.0, 40.0)]))
    [found] = read_report(tmp_path, Scope("ranker", "challenger"), sections={"latency"}).latencies
    assert (found.tail, found.shadow.p50_ms) == (None, 1.0)


def test_no_requests_have_no_latencies(tmp_path: Path) -> None:
    """An empty lake is no error."""
    assert latencies_of(tmp_path, []) == ()
