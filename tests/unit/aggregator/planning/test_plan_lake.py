"""The real rates, read from planted lakes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator import Scope
from shadowlane.aggregator.planning import Inputs, Metric, make_plan, plan_to_json, read_traffic, summary
from shadowlane.aggregator.planning._hours import hours
from shadowlane.errors import SettingsError
from shadowlane.lake._tables import COMPARISONS, LABELS
from unit.aggregator import report_lake
from unit.aggregator.report_lake import Row, comparison, error, land

SCOPE = Scope("ranker", "challenger")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = 3_600


def steady(count: int, seconds: float, **changes: Any) -> list[Row]:
    """So many comparisons, evenly over so many seconds from midnight."""
    step = seconds / count
    return [comparison(n, event_time=MIDNIGHT + timedelta(seconds=n * step), **changes) for n in range(count)]


def day(**changes: Any) -> list[Row]:
    """Two days, a request a minute by night and three from 12 to 18 h."""
    moments = [
        MIDNIGHT + timedelta(hours=hour, seconds=HOUR * n / count)
        for hour in range(48)
        for count in [180 if 12 <= hour % 24 < 18 else 60]
        for n in range(count)
    ]
    return [comparison(n, event_time=moment, **changes) for n, moment in enumerate(moments)]


def test_the_traffic_is_read_by_hour_and_sampling(tmp_path: Path) -> None:
    """A tenth was sampled, so ten times as many requests were made; the busiest hour is twice the average."""
    found = read_traffic(land(tmp_path, day(sampling_rate=0.1, shadow_cpu_ms=4.0)), SCOPE)
    average = (18 * 60 + 6 * 180) / 24 / HOUR * 10
    assert found.values["requests_per_second"] == pytest.approx(average, rel=0.002)
    assert found.values["peak_factor"] == pytest.approx(2, rel=0.01)
    assert found.values["sampling"] == pytest.approx(0.1)
    assert found.besides["requests_per_second_by_hour"][13] == pytest.approx(180 / HOUR * 10, rel=0.01)
    assert found.besides["hours_seen"] == 24
    assert (found.values["cpu_ms"], found.values["latency_ms"]) == (4.0, 20.0)
    assert found.notes == ()


def test_rates_of_agreement_errors_and_segments_are_the_traffics(tmp_path: Path) -> None:
    """Requests that were sampled more count for less: each stands for 1/rate."""
    rows = [
        *(row | {"segments": [("country", "IT")], "sampling_rate": 1.0} for row in steady(300, 3_000)),
        *(
            comparison(n, segments=[("country", "DE")], sampling_rate=0.1, agreement=n % 2 == 0,
                       event_time=MIDNIGHT + timedelta(seconds=n * 3))
            for n in range(300, 900)
        ),
    ]  # fmt: skip
    errors = [
        error(n, sampling_rate=0.1, event_time=MIDNIGHT + timedelta(seconds=n)) for n in range(900, 970)
    ]
    lake = land(tmp_path, rows, errors)
    found = read_traffic(lake, SCOPE)
    stood_for = 300 + 6_000 + 700
    assert found.besides["requests_stood_for"] == pytest.approx(stood_for)
    assert found.values["rate"] == pytest.approx(3_300 / 6_300)
    assert found.values["usable"] == pytest.approx(6_300 / stood_for)
    assert found.besides["error_rate"] == pytest.approx(700 / stood_for)
    german, italian = found.values["segments"]
    assert (german.name, german.share, german.sampling) == (
        "country=DE",
        pytest.approx(6_000 / stood_for),
        None,
    )
    assert (italian.name, italian.share, italian.sampling) == (
        "country=IT",
        pytest.approx(300 / stood_for),
        1.0,
    )
    assert read_traffic(lake, SCOPE, Metric.errors).values["rate"] == pytest.approx(0.1)
    assert read_traffic(lake, SCOPE, Metric.errors).values["usable"] == 1
    assert read_traffic(lake, SCOPE, Metric.correctness).values["discordance"] == pytest.approx(3_000 / 6_300)


def test_small_segments_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    """Those under the least share are counted in a note; a name that no request has is an error."""
    rows = [
        row | {"segments": [("country", "IT" if n % 200 == 0 else "DE")]}
        for n, row in enumerate(steady(1000, 9e3))
    ]
    lake = land(tmp_path, rows)
    found = read_traffic(lake, SCOPE)
    assert [each.name for each in found.values["segments"]] == ["country=DE"]
    assert "1 segment with under 1 % of the requests: left out" in found.notes
    named = read_traffic(lake, SCOPE, named=["country=IT"])
    assert [(each.name, each.share) for each in named.values["segments"]] == [
        ("country=IT", pytest.approx(0.005))
    ]
    with pytest.raises(
        SettingsError, match=r"no request is in a segment 'country=TI'; the nearest known: country=IT"
    ):
        read_traffic(lake, SCOPE, named=["country=TI"])


def test_any_segment_of_the_data_makes_a_plan(tmp_path: Path) -> None:
    """Names and values may be anything; those that no option could name are no segments of a plan."""
    odd = [("", "x"), ("=", "x"), ("a", ""), ("b", "=="), ("c\n", "\x1b[31m"), ("d", "1"), ("e=f", "g")]
    lake = land(tmp_path, steady(200, 2_000, segments=odd))
    found = read_traffic(lake, SCOPE)
    assert {each.name for each in found.values["segments"]} == {"b===", "c\n=\x1b[31m", "d=1", "e=f=g"}
    assert summary(make_plan(Inputs.of({}, found.values), found.besides, found.notes))


def test_requests_of_one_user_are_worth_fewer(tmp_path: Path) -> None:
    """Where each user's ten requests all agree or all do not, ten are worth one."""
    rng = np.random.default_rng(4)
    users = rng.random(200) < 0.8
    rows = [
        row | {"entity_id": f"u{n // 10}", "agreement": bool(users[n // 10])}
        for n, row in enumerate(steady(2000, 9e3))
    ]
    assert read_traffic(land(tmp_path, rows), SCOPE).values["design_effect"] == pytest.approx(10, rel=0.02)


def test_labels_say_how_late_and_how_many(tmp_path: Path) -> None:
    """Coverage is of the requests that are old enough: those that are too young do not count against it."""
    rows = steady(1000, 10 * 86_400)
    lake = land(tmp_path, rows)
    labels = [
        {
            "request_id": row["request_id"], "model": "ranker", "name": "label", "label_label": "yes",
            "observed_at": row["event_time"] + timedelta(days=2), "landed_partition": 0, "landed_offset": n,
            "date": (row["event_time"] + timedelta(days=2)).date(),
        }
        for n, row in enumerate(rows[:800]) if n % 2
    ]  # fmt: skip
    report_lake.append(lake, LABELS, pa.Table.from_pylist(labels, schema=LABELS.schema))
    found = read_traffic(lake, SCOPE, Metric.correctness)
    assert found.values["label_delay_days"] == pytest.approx(2)
    assert found.values["label_coverage"] == pytest.approx(0.5, abs=0.01)
    assert "label_coverage" not in read_traffic(lake, SCOPE).values


def test_a_comparisons_bytes_are_its_files(tmp_path: Path) -> None:
    """The table's files, shared out over its rows."""
    lake = land(tmp_path, steady(500, 9e3))
    size = sum(file.stat().st_size for file in report_lake.files(lake, COMPARISONS.name))
    assert read_traffic(lake, SCOPE).values["comparison_bytes"] == pytest.approx(size / 500)


def test_a_window_narrows_what_is_read(tmp_path: Path) -> None:
    """Only the requests between start and end count."""
    lake = land(tmp_path, steady(2_000, 20_000))
    start, end = MIDNIGHT + timedelta(seconds=5_000), MIDNIGHT + timedelta(seconds=10_000)
    found = read_traffic(lake, Scope("ranker", "challenger", start=start, end=end))
    assert found.besides["requests"] == 500
    assert found.values["requests_per_second"] == pytest.approx(0.1, rel=0.01)
    assert any("only" in note and "of 24 hours" in note for note in found.notes)
    assert "peak_factor" not in found.values


def test_the_lakes_values_make_a_plan(tmp_path: Path) -> None:
    """Read, planned and written: the measured values count where no option does."""
    lake = land(tmp_path, day(sampling_rate=0.2, segments=[("country", "DE")], shadow_cpu_ms=3.0))
    found = read_traffic(lake, SCOPE)
    # All agree in this lake: then any difference is a fall.
    plan = make_plan(Inputs.of({"min_requests": 5_000}, found.values), found.besides, found.notes)
    assert (plan.sampling, plan.inputs.aim.rate, plan.costs.cpu_hours is None) == (0.2, 1.0, False)
    assert summary(plan).startswith("At 20 % sampling: ")
    assert '"first_request": "2026-03-01T00:00:00Z"' in plan_to_json(plan)


@pytest.mark.parametrize("rate", [None, 0.0, -1.0, float("nan"), 7.0])
def test_a_sampling_rate_that_is_none_counts_as_all(tmp_path: Path, rate: float | None) -> None:
    """Rows of other writers may say anything: such a request stands for itself."""
    found = read_traffic(land(tmp_path, steady(100, 1_000, sampling_rate=rate)), SCOPE)
    assert found.besides["requests_stood_for"] == 100
    assert found.values["sampling"] == 1


def test_warm_up_and_nonsense_are_no_measurements(tmp_path: Path) -> None:
    """Only finite times of warm calls count for what a request takes."""
    rows = steady(90, 900, shadow_cpu_ms=2.0)
    rows += [comparison(n, latency_basis="warmup", shadow_cpu_ms=900.0) for n in range(90, 95)]
    rows += [comparison(n, shadow_cpu_ms=float("inf"), shadow_latency_ms=float("nan")) for n in range(95, 99)]
    found = read_traffic(land(tmp_path, rows), SCOPE)
    assert (found.values["cpu_ms"], found.values["latency_ms"]) == (2.0, 20.0)


def test_only_errors_still_tell_the_traffic(tmp_path: Path) -> None:
    """Without a comparison there is no rate of agreement, and no bytes; the traffic is known all the same."""
    errors = [
        error(n, event_time=MIDNIGHT + timedelta(seconds=n * 10), sampling_rate=0.5) for n in range(100)
    ]
    found = read_traffic(land(tmp_path, (), errors), SCOPE)
    assert found.values["requests_per_second"] == pytest.approx(0.2, rel=0.02)
    assert {"rate", "usable", "comparison_bytes", "cpu_ms"} & found.values.keys() == set()
    assert any("no processor time was measured" in note for note in found.notes)


def test_a_scope_without_requests_names_what_there_is(tmp_path: Path) -> None:
    """A shadow mistyped is an error that lists those that the lake has; so is an empty lake."""
    lake = land(tmp_path, steady(10, 100))
    with pytest.raises(SettingsError, match="known are: ranker with challenger, run live"):
        read_traffic(lake, Scope("ranker", "chalenger"))
    with pytest.raises(SettingsError, match="known are: none"):
        read_traffic(tmp_path / "nowhere", SCOPE)


def test_one_moment_tells_no_rate(tmp_path: Path) -> None:
    """A single request is no traffic."""
    with pytest.raises(SettingsError, match="all made at one time"):
        read_traffic(land(tmp_path, steady(1, 1)), SCOPE)


def test_a_request_sent_twice_is_one(tmp_path: Path) -> None:
    """A client's retry is no traffic of its own."""
    rows = steady(100, 1_000)
    again = [
        row | {"source_offset": 1_000 + n, "landed_offset": 1_000 + n} for n, row in enumerate(rows[:50])
    ]
    assert read_traffic(land(tmp_path, rows + again), SCOPE).besides["requests"] == 100


@given(start=st.integers(0, 40 * 24 * HOUR), length=st.integers(2 * HOUR, 15 * 24 * HOUR))
def test_steady_traffic_has_its_rate_wherever_one_looks(start: int, length: int) -> None:
    """Of one request every ten seconds each hour that was seen has the rate, and so has the average."""
    moments = range(start, start + length, 10)
    requests: dict[int, float] = {}
    for moment in moments:
        requests[moment // HOUR] = requests.get(moment // HOUR, 0) + 1
    found = hours(requests, moments[0] * 1_000_000, moments[-1] * 1_000_000)
    assert found is not None
    assert found.average == pytest.approx(0.1, rel=0.02)
    assert all(rate == pytest.approx(0.1, rel=0.02) for rate in found.rates if rate is not None)


def test_days_on_which_nobody_watched_do_not_count() -> None:
    """Two days with a week between them have the rate of the two days."""
    requests = {day * 24 + hour: 360.0 for day in (0, 8) for hour in range(24)}
    found = hours(requests, 0, 9 * 24 * HOUR * 1_000_000)
    assert found is not None
    assert found.average == pytest.approx(0.1)
