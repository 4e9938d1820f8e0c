"""What the figures rest on: features, freshness, resources and coverage, against counts made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import Features
from unit.aggregator.report_lake import NOON, Row, comparison, error, hook, land

NAN, INF = math.nan, math.inf
SECTIONS = {"features", "freshness", "resources", "coverage", "distributions"}
NONE_FETCHED: Row = {
    kind: [] for kind in ("numbers", "integers", "flags", "strings", "vectors", "json", "missing")
}
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def report_of(
    folder: Path, rows: Sequence[Row] = (), errors: Sequence[Row] = (), ledger: Sequence[Row] = ()
) -> Report:
    """Land these rows and read what their figures rest on."""
    return read_report(land(folder, rows, errors, ledger), Scope("ranker", "challenger"), sections=SECTIONS)


def features_of(
    folder: Path, rows: Sequence[Row] = (), errors: Sequence[Row] = (), ledger: Sequence[Row] = ()
) -> Features:
    """Their features."""
    found = report_of(folder, rows, errors, ledger).features
    assert found is not None
    return found


def worker(name: str, **changes: object) -> Row:
    """A worker's ledger entry."""
    return hook(name, role="worker", shadow="challenger", run="live", **changes)


def lacking(n: int, *names: str, **changes: object) -> Row:
    """A comparison whose shadow had to do without these."""
    return comparison(n, missing_features=[*names], **changes)


def test_features_are_missing_by_name(tmp_path: Path) -> None:
    """Of all requests, errors among them, the most often missing first; of disagreements apart."""
    rows = [
        lacking(1, "age", "income", agreement=False),
        lacking(2, "age"),
        *(lacking(n) for n in range(3, 7)),
        lacking(7, agreement=False),
    ]
    found = features_of(tmp_path, rows, [error(8, missing_features=["history", "age", "age"]), error(9)])
    shown = [(each.name, each.missing.part, each.missing.whole) for each in found.features]
    assert shown == [("age", 3, 9), ("history", 1, 9), ("income", 1, 9)]
    assert [each.missing_of_disagreements for each in found.features] == [0.5, 0.0, 0.5]
    assert (found.requests_with_missing.part, found.requests_with_missing.whole) == (3, 9)
    assert found.source == "comparisons and errors"
    assert [each.unexpected for each in found.features] == [0, 0, 0]


def test_nothing_missing_is_said_to_be_nothing(tmp_path: Path) -> None:
    """Where every request had all features there is a rate of 0, not an unknown one."""
    found = features_of(tmp_path, [lacking(1), lacking(2)])
    assert (found.features, found.requests_with_missing.value) == ((), 0.0)


def test_unexpected_features_are_the_workers_counts(tmp_path: Path) -> None:
    """Each worker's latest count since its start, added up; those of other shadows are none of ours."""
    entries = [
        worker("a", unexpected_features=[("extra", 3)], recorded_at=NOON + timedelta(minutes=1)),
        worker("a", unexpected_features=[("extra", 5), ("debug", 1)]),
        worker("a", started_at=NOON + timedelta(minutes=30), unexpected_features=[("extra", 2)]),
        worker("b", unexpected_features=[("debug", 1)]),
        worker("c", unexpected_features=[("extra", 100)]) | {"shadow": "another"},
    ]
    found = features_of(tmp_path, [lacking(1, "age")], [], entries)
    assert {each.name: each.unexpected for each in found.features} == {"extra": 7, "debug": 2, "age": 0}
    assert [each.name for each in found.features] == ["extra", "debug", "age"]
    assert [each.missing.part for each in found.features] == [0, 0, 1]


def test_rows_that_do_not_say_leave_it_to_the_workers(tmp_path: Path) -> None:
    """Where no row knows what was missing the workers' counts are shown, and said to be theirs."""
    entries = [worker("a", observed=40, missing_features=[("age", 4)])]
    found = features_of(tmp_path, [comparison(1), comparison(2)], [error(3)], entries)
    [age] = found.features
    assert (age.name, age.missing.part, age.missing.whole, age.missing_of_disagreements) == (
        "age",
        4,
        40,
        None,
    )
    assert (found.source, found.requests_with_missing.value) == ("the workers' counts", None)


def test_rows_that_say_go_before_the_workers_counts(tmp_path: Path) -> None:
    """The workers' counts know no window: they are not mixed with the rows of one."""
    entries = [worker("a", observed=4000, missing_features=[("age", 400)])]
    found = features_of(tmp_path, [lacking(1), lacking(2)], [], entries)
    assert (found.features, found.source) == ((), "comparisons and errors")


def test_features_that_were_fetched_and_differ(tmp_path: Path) -> None:
    """A feature that the shadow looked up and that was other than what the primary had, of any type."""
    fetched = NONE_FETCHED | {"numbers": [("balance", 2.0)], "strings": [("tier", "gold")]}
    rows = [
        lacking(1, fetched=fetched),
        lacking(2, fetched=NONE_FETCHED | {"integers": [("balance", 2)], "missing": ["tier", "limit"]}),
        *(lacking(n) for n in range(3, 9)),
    ]
    found = features_of(tmp_path, rows)
    rates = {each.name: each.fetched_differently for each in found.features}
    assert {name: rate and (rate.part, rate.whole) for name, rate in rates.items()} == {
        "balance": (2, 8),
        "tier": (2, 8),
        "limit": (1, 8),
    }


def test_only_the_most_frequent_features_are_shown(tmp_path: Path) -> None:
    """Of the rest it is said how many they are."""
    found = features_of(tmp_path, [lacking(1, *(f"f{n:02}" for n in range(60))), lacking(2, "f59")])
    assert (len(found.features), found.others, found.features[0].name) == (50, 10, "f59")


def test_the_lag_is_numpys(tmp_path: Path) -> None:
    """p50, p99 and the most, of the lags that are numbers."""
    lags = [float(n) ** 2 for n in range(200)]
    rows = [comparison(n, replay_lag_ms=lag) for n, lag in enumerate([*lags, NAN, INF])]
    rows.append(comparison(300, replay_lag_ms=None))
    found = report_of(tmp_path, rows).freshness
    assert found is not None
    figures = (found.lag_p50_ms, found.lag_p99_ms, found.lag_max_ms)
    assert figures == pytest.approx((*np.quantile(lags, [0.5, 0.99]), lags[-1]))
    assert {each.name: each.requests for each in found.by_lag}["unknown"] == 3


def test_requests_by_range_of_lag(tmp_path: Path) -> None:
    """Each range begins at its edge; a clock that is ahead is no lag; agreement leaves out the ignored."""
    ignored = {"agreement": False, "comparator": "ignored:label=x"}
    rows = [
        comparison(1, replay_lag_ms=-50.0),
        comparison(2, replay_lag_ms=999.9, agreement=False),
        comparison(3, replay_lag_ms=1000.0),
        comparison(4, replay_lag_ms=59_999.0),
        comparison(5, replay_lag_ms=3_600_000.0, **ignored),
        comparison(6, replay_lag_ms=86_400_000.0, agreement=None),
    ]
    found = report_of(tmp_path, rows).freshness
    assert found is not None
    assert [(each.name, each.requests, each.agreement.value) for each in found.by_lag] == [
        ("under 1 s", 2, 0.5),
        ("1 s to 10 s", 1, 1.0),
        ("10 s to 1 min", 1, 1.0),
        ("1 h to 1 day", 1, None),
        ("1 day and more", 1, 0.0),
    ]


def test_requests_by_hour_of_day(tmp_path: Path) -> None:
    """In UTC, over all days; an hour without requests has none, and no figure that looks like one."""
    times = [
        NOON,
        NOON + timedelta(days=3),
        NOON + timedelta(hours=5),
        datetime(1969, 12, 31, 23, tzinfo=UTC),
    ]
    rows = [comparison(n, event_time=each, agreement=n != 1) for n, each in enumerate(times)]
    rows.append(comparison(9) | {"event_time": None})
    found = report_of(tmp_path, rows).freshness
    assert found is not None
    assert len(found.by_hour) == 24
    seen = {each.name: (each.requests, each.agreement.value) for each in found.by_hour if each.requests}
    assert seen == {"12:00": (2, 0.5), "17:00": (1, 1.0), "23:00": (1, 1.0)}
    empty = found.by_hour[0]
    assert (empty.name, empty.agreement.value, empty.agreement.interval, empty.distance) == (
        "00:00",
        None,
        None,
        None,
    )


def test_the_distance_by_hour_and_lag_is_over_the_reports_bins(tmp_path: Path) -> None:
    """So that slices can be compared with each other, and with the whole."""
    rng = np.random.default_rng(0)
    rows = [
        comparison(
            n, event_time=NOON + timedelta(hours=n % 3), replay_lag_ms=10.0 if n % 2 else 5000.0,
            primary_score=float(rng.random()), shadow_score=float(rng.random() ** (1 + n % 2)),
        )
        for n in range(300)
    ]  # fmt: skip
    report = report_of(tmp_path, [*rows, comparison(999, shadow_score=NAN)])
    assert report.scores is not None
    assert report.freshness is not None

    def distance(chosen: Sequence[Row]) -> float:
        columns = [[row[f"{side}_score"] for row in chosen] for side in ("primary", "shadow")]
        assert report.scores is not None
        return float(jensenshannon(*(np.histogram(each, report.scores.edges)[0] for each in columns)))

    assert report.freshness.by_lag[1].distance == pytest.approx(distance(rows[::2]))
    assert report.freshness.by_hour[13].distance == pytest.approx(distance(rows[1::3]))


def test_resources_are_numpys(tmp_path: Path) -> None:
    """Percentiles and means of what was measured, and what it comes to over all requests."""
    cpu = np.random.default_rng(1).lognormal(2, 1, 100)
    rows = [
        comparison(n, shadow_cpu_ms=float(ms), shadow_memory_mb=300.0 + n, shadow_gpu_ms=2.0)
        for n, ms in enumerate(cpu)
    ]
    rows += [comparison(n, shadow_cpu_ms=ms) for n, ms in enumerate([NAN, -1.0, None], 100)]
    found = report_of(tmp_path, rows).resources
    assert found is not None
    assert found.measured == 100
    assert (found.cpu_mean_ms, found.cpu_p50_ms, found.cpu_p99_ms) == pytest.approx(
        (cpu.mean(), np.median(cpu), np.quantile(cpu, 0.99))
    )
    assert (found.gpu_mean_ms, found.memory_p50_mb, found.memory_max_mb) == (2.0, 349.5, 399.0)
    assert found.cpu_hours == pytest.approx(cpu.mean() * 103 / 3.6e6)
    assert found.primary_busy_ms == 10.0


def test_resources_that_nobody_measured_are_not_told(tmp_path: Path) -> None:
    """Nothing is said of them; where memory alone is known, nothing is said of the processor."""
    assert report_of(tmp_path / "none", [comparison(1)]).resources is None
    found = report_of(
        tmp_path / "memory", [comparison(1, shadow_memory_mb=5.0, primary_latency_ms=None)]
    ).resources
    assert found is not None
    assert (found.measured, found.cpu_mean_ms, found.cpu_p99_ms, found.cpu_hours) == (0, None, None, None)
    assert (found.gpu_mean_ms, found.memory_max_mb, found.primary_busy_ms) == (None, 5.0, None)


def hourly(hours: Sequence[int]) -> list[Row]:
    """A comparison in each of these hours since a Monday."""
    return [comparison(n, event_time=MONDAY + timedelta(hours=hour)) for n, hour in enumerate(hours)]


def test_a_full_week_is_every_weekday_over_seven_days(tmp_path: Path) -> None:
    """168 hours, errors among them, are a business cycle; one hour less, or a day left out, is none."""
    week = hourly(range(168))
    full = report_of(tmp_path / "full", week[:-1], [error(167, event_time=week[-1]["event_time"])]).coverage
    short = report_of(tmp_path / "short", week[:-1]).coverage
    gap = report_of(tmp_path / "gap", hourly([*range(48), *range(72, 240)])).coverage
    assert full is not None
    assert short is not None
    assert gap is not None
    assert (full.weekdays, full.hours_of_week, full.longest_gap_hours, full.is_full_week) == (7, 168, 0, True)
    assert (short.weekdays, short.hours_of_week, short.is_full_week) == (7, 167, False)
    assert (gap.weekdays, gap.longest_gap_hours, gap.is_full_week) == (7, 24, False)


def test_still_nights_do_not_spoil_a_week(tmp_path: Path) -> None:
    """A service that is asked from 8 to 20 alone is covered by a week of that."""
    days = hourly([day * 24 + hour for day in range(8) for hour in range(8, 20)])
    found = report_of(tmp_path, days).coverage
    assert found is not None
    assert (found.hours_of_week, found.longest_gap_hours, found.is_full_week) == (84, 12, True)


def test_days_are_counted_in_utc(tmp_path: Path) -> None:
    """Each day with its requests and hours, and the first and last moment to the microsecond."""
    rows = [*hourly([0, 0, 23, 24]), comparison(9) | {"event_time": None}]
    found = report_of(tmp_path, rows).coverage
    assert found is not None
    assert [(each.day, each.requests, each.hours) for each in found.days] == [
        (date(2026, 3, 2), 3, 2),
        (date(2026, 3, 3), 1, 1),
    ]
    assert (found.first, found.last) == (MONDAY, MONDAY + timedelta(days=1))
    assert (found.weekdays, found.hours_of_week, found.longest_gap_hours) == (2, 3, 22)


def test_errors_alone_have_coverage_and_features(tmp_path: Path) -> None:
    """Where nothing could be compared there is no freshness and there are no resources."""
    report = report_of(tmp_path, [], [error(n, missing_features=["history"]) for n in range(3)])
    assert (report.freshness, report.resources) == (None, None)
    assert report.coverage is not None
    assert report.coverage.days[0].requests == 3
    assert report.features is not None
    assert report.features.features[0].missing.value == 1.0
    assert report.features.features[0].missing_of_disagreements is None


def test_no_requests_have_none_of_it(tmp_path: Path) -> None:
    """An empty lake is no error."""
    report = report_of(tmp_path)
    assert (report.features, report.freshness, report.resources, report.coverage) == (None,) * 4
