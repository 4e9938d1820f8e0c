"""The balance of all counts, agreement in its several ways, conditions, and what comes first."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator.report._load import repeats
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.errors import SettingsError
from unit.aggregator.report_lake import NOON, Row, comparison, error, hook, land

SCOPE = Scope("ranker", "challenger")


def report_of(lake: Path, rows: list[Row], errors: list[Row] = [], **more: Any) -> Report:  # noqa: B006
    """The report of these rows."""
    scope = Scope("ranker", "challenger", **more.pop("scope", {}))
    land(lake, rows, errors, more.pop("ledger", []))
    return read_report(lake, scope, **more)


def worker(**changes: Any) -> Row:
    """A worker's ledger entry."""
    counts = {"role": "worker", "shadow": "challenger", "run": "live", "observed": 0, "compared": 0}
    return hook("worker-1", **{**counts, "errors": [], "lost": 0, **changes})


def stations(report: Report) -> dict[str, int]:
    """How many requests are where."""
    assert report.completeness is not None
    return {each.name: each.requests for each in report.completeness.stations}


def test_each_request_is_at_one_station(tmp_path: Path) -> None:
    """What hooks saw is left out, dropped, failed, compared, errored, repeated, lost or unexplained."""
    counts = {
        "observed": 100,
        "primary_failed": 5,
        "sampled_out": 20,
        "dropped": [("queue_full", 3)],
        "published": 72,
        "failed": 2,
        "delivered": 70,
    }
    again = comparison(0, source_partition=3, source_offset=999, landed_offset=999)
    report = report_of(
        tmp_path,
        [*(comparison(n) for n in range(50)), again],
        [error(n) for n in range(50, 60)],
        ledger=[hook("h", **counts), worker(compared=51, errors=[("predict", 10)], lost=4)],
    )
    found = stations(report)
    assert found == {
        "observed": 100,
        "primary_failed": 5,
        "sampled_out": 20,
        "dropped:queue_full": 3,
        "failed": 2,
        "delivered": 70,
        "compared": 50,
        "errored": 10,
        "repeated": 1,
        "lost": 4,
        "unexplained": 5,
    }
    assert found["observed"] == 5 + 20 + 3 + 2 + found["delivered"]
    assert found["delivered"] == 50 + 10 + 1 + 4 + 5
    assert report.completeness is not None
    assert report.completeness.unexplained_rate == 5 / 70
    assert report.completeness.workers is not None
    assert report.completeness.workers.errors == {"predict": 10}


def test_what_came_after_the_newest_request_can_be_on_its_way(tmp_path: Path) -> None:
    """While a hook still counts, what it delivered since then is pending; what it delivered before is not."""
    early = {"recorded_at": NOON + timedelta(seconds=5), "delivered": 8, "published": 8, "final": False}
    late = {"recorded_at": NOON + timedelta(hours=1), "delivered": 30, "published": 30, "final": False}
    report = report_of(
        tmp_path,
        [comparison(n) for n in range(6)],
        ledger=[hook("h", **early), hook("h", **late, landed_offset=1)],
    )
    found = stations(report)
    assert (found["pending"], found["unexplained"]) == (22, 2)


def test_a_window_has_no_balance(tmp_path: Path) -> None:
    """The hooks counted all requests, not those of a window: nothing is subtracted from one another."""
    report = report_of(
        tmp_path,
        [comparison(n) for n in range(6)],
        ledger=[hook("h", observed=100, delivered=100, published=100)],
        scope={"start": NOON + timedelta(seconds=2)},
    )
    assert stations(report) == {"compared": 4}
    assert report.completeness is not None
    assert report.completeness.unexplained is None


def test_many_unexplained_requests_are_the_first_to_be_told(tmp_path: Path) -> None:
    """A loss that no count explains is an alarm."""
    counts = {"observed": 1000, "published": 1000, "delivered": 1000}
    report = report_of(tmp_path, [comparison(n) for n in range(500)], ledger=[hook("h", **counts), worker()])
    assert report.headline[0].weight == "alarm"
    assert "500 requests, 50.00 % of the delivered, are in no count" in report.headline[0].sentence


def test_a_request_sampled_at_one_in_ten_stands_for_ten(tmp_path: Path) -> None:
    """Where rates differ, agreement weighted by what each request stands for is told besides."""
    rows = [comparison(n, sampling_rate=0.1, agreement=False) for n in range(10)]
    rows += [comparison(n, sampling_rate=1.0) for n in range(10, 110)]
    found = report_of(tmp_path, rows).agreement
    assert found is not None
    assert found.rate.value == 100 / 110
    assert found.weighted == pytest.approx(100 / 200)
    assert found.sampling_rates == ((0.1, 10), (1.0, 100))


def test_one_rate_of_sampling_needs_no_weights(tmp_path: Path) -> None:
    """All requests stand for as many: the rate is the same."""
    found = report_of(tmp_path, [comparison(n, sampling_rate=0.25) for n in range(4)]).agreement
    assert found is not None
    assert found.weighted is None


def test_agreement_by_comparator_and_without_the_ignored(tmp_path: Path) -> None:
    """Each comparator has its rate; a pair that a rule ignores is in none."""
    rows = [comparison(n, comparator="label", agreement=n != 0) for n in range(4)]
    rows += [comparison(n) for n in range(4, 6)]
    rows += [comparison(6, comparator="ignored:nulls", agreement=False)]
    report = report_of(tmp_path, rows)
    assert report.agreement is not None
    assert (report.ignored, report.agreement.rate.part, report.agreement.rate.whole) == (1, 5, 6)
    by = {each.comparator: (each.rate.part, each.rate.whole) for each in report.agreement.by_comparator}
    assert by == {"label": (3, 4), "score:0.05": (2, 2)}


def test_the_tolerance_curve_counts_the_differences_within(tmp_path: Path) -> None:
    """At each tolerance, the share of requests whose scores are no further apart; NaN is within none."""
    differences = [0.0, 0.0, 0.01, -0.01, 0.1, 1.0, None, float("nan"), float("inf")]
    rows = [comparison(n, difference=each) for n, each in enumerate(differences)]
    found = report_of(tmp_path, rows).agreement
    assert found is not None
    points = {round(each.tolerance, 6): each.rate for each in found.tolerance_curve}
    assert points == {
        0.0: pytest.approx(2 / 8),
        0.01: pytest.approx(4 / 8),
        0.1: pytest.approx(5 / 8),
        1.0: pytest.approx(6 / 8),
    }


def test_agreement_over_time_is_in_stretches_that_add_up(tmp_path: Path) -> None:
    """Hours where the span is short, longer stretches where it is long; nothing is lost."""
    rows = [comparison(n, event_time=NOON + timedelta(hours=n)) for n in range(24 * 30)]
    errors = [error(9000 + n, event_time=NOON + timedelta(days=n)) for n in range(30)]
    found = report_of(tmp_path, rows, errors).agreement
    assert found is not None
    assert found.step_seconds == 3 * 3600
    assert sum(each.requests for each in found.over_time) == 750
    assert sum(each.errored for each in found.over_time) == 30
    assert [each.start for each in found.over_time] == sorted(each.start for each in found.over_time)


def test_a_control_gives_the_noise_that_is_taken_off(tmp_path: Path) -> None:
    """What the primary disagrees with itself on is no fault of the shadow's; each request counts once."""
    rows = [comparison(n, agreement=n >= 10) for n in range(100)]
    twice = [comparison(n, run="control", agreement=n >= 6, landed_offset=500 + n) for n in range(100)]
    twice += [comparison(0, run="control", agreement=False, landed_offset=900, source_offset=77)]
    report = report_of(tmp_path, rows + twice)
    floor = report.agreement.noise_floor if report.agreement else None
    assert floor is not None
    assert (floor.run, floor.disagreement.part, floor.disagreement.whole) == ("control", 6, 100)
    assert floor.excess == pytest.approx(0.04)
    assert floor.corrected_agreement == pytest.approx(0.96)
    assert floor.excess_interval is not None
    assert floor.excess_interval.low < 0.04 < floor.excess_interval.high


def test_a_control_by_another_name_is_asked_for(tmp_path: Path) -> None:
    """And one that has no comparisons says so, rather than pass for no noise."""
    rows = [comparison(n) for n in range(20)]
    rows += [
        comparison(n, shadow="primary-again", agreement=n % 2 == 0, landed_offset=50 + n) for n in range(20)
    ]
    land(tmp_path, rows)
    found = read_report(tmp_path, SCOPE, control=Control("primary-again")).agreement
    assert found is not None
    assert found.noise_floor is not None
    assert found.noise_floor.disagreement.value == 0.5
    report = read_report(tmp_path, SCOPE, control=Control("nobody"))
    assert report.agreement is not None
    assert report.agreement.noise_floor is not None
    assert report.agreement.noise_floor.excess is None
    assert any("nobody has no comparisons" in each.sentence for each in report.headline)


def test_a_condition_narrows_the_report(tmp_path: Path) -> None:
    """Over segments, scores and features; an error lacks what only comparisons have."""
    rows = [
        comparison(n, segments=[("country", "BR" if n < 3 else "DE")], shadow_score=n / 10) for n in range(10)
    ]
    errors = [error(20, segments=[("country", "BR")]), error(21, segments=[("country", "DE")])]
    land(tmp_path, rows, errors)

    def requests(where: str) -> tuple[int, int]:
        found = read_report(tmp_path, Scope("ranker", "challenger", where=where))
        return found.compared, found.errored

    assert requests("segments['country'] = 'BR'") == (3, 1)
    assert requests("shadow_score > 0.55") == (4, 0)
    assert requests("true or false -- said by mistake") == (10, 2)
    assert requests("agreement and shadow_score < 0") == (0, 0)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("true) OR (1 = 1", "cannot be parsed"),
        ("shadow = 'x', run = 'y'", "one condition is wanted"),
        ("nothing_like_it = 1", "nothing_like_it"),
        ("exists (FROM errors)", "no other table"),
        ("shadow_score", "true or false"),
        ("getenv('HOME') = ''", "getenv"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "read_csv"),
        ("", "an empty condition"),
        ("event_time > now() - INTERVAL 1 DAY", "now gives something else each time"),
        ("event_time < current_timestamp", "current_timestamp gives something else"),
        ("event_time < get_current_timestamp()", "gives something else"),
        ("event_time::DATE = current_date", "current_date gives something else"),
        ("event_time::TIMESTAMP < LocalTimestamp", "localtimestamp gives something else"),
        ("age(event_time::TIMESTAMP) < INTERVAL 1 DAY", "age gives something else"),
        ("primary_score + random() < 0.5", "random gives something else"),
        ("getvariable('shadow') = 'x'", "getvariable gives something else"),
    ],
)
def test_what_is_no_condition_is_refused(where: str, said: str) -> None:
    """Nothing but one condition over the comparisons' columns gets into the report's queries."""
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")):
        Scope("ranker", "challenger", where=where)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.lists(st.integers(0, 59), max_size=20))
def test_repeats_are_those_that_are_there_twice(values: list[int], again: list[int]) -> None:
    """Whatever the hashes, also where halves of different ones meet."""
    every = values + [values[n] ^ (n % 2) for n in again if n < len(values)]
    found = repeats(np.array(every, np.uint64)).tolist()
    assert sorted(found) == sorted({each for each in every if every.count(each) > 1})


def test_a_topic_made_anew_hides_no_repeat(tmp_path: Path) -> None:
    """Two rows of one place in the comparisons' topic are told apart by where they lie in their files."""
    land(tmp_path, [comparison(1), comparison(2)])
    land(tmp_path, [comparison(1, agreement=False, landed_offset=2, source_offset=50)])
    report = read_report(tmp_path, SCOPE)
    assert (report.compared, report.agreements, report.duplicates.repeated_requests) == (2, 2, 1)


def test_a_condition_that_some_request_cannot_be_asked_is_the_users_mistake(tmp_path: Path) -> None:
    """A text that is no number is no damage to the lake."""
    land(tmp_path, [comparison(1)])
    with pytest.raises(SettingsError, match="the condition cannot be asked of every request"):
        read_report(tmp_path, Scope("ranker", "challenger", where="CAST(request_id AS INTEGER) > 1"))


def test_grave_figures_come_first_without_a_rule(tmp_path: Path) -> None:
    """Errors that share nothing, and disagreement that lies everywhere, are told at the top all the same."""
    rows = [comparison(n, agreement=n % 3 != 0) for n in range(300)]
    found = report_of(tmp_path, rows, [error(n) for n in range(300, 330)]).headline
    said = " ".join(each.sentence for each in found)
    assert "The two disagree on 33.33 % of the requests." in said
    assert "KeyError on 9.09 % of the requests" in said


def test_scores_near_the_largest_number_are_a_report(tmp_path: Path) -> None:
    """Their sum is no number; nothing fails."""
    rows = [comparison(n, shadow_score=1.7e308 if n < 5 else 0.5) for n in range(200)]
    assert report_of(tmp_path, rows).compared == 200


def test_a_threshold_is_a_number(tmp_path: Path) -> None:
    """NaN would make each answer a 0."""
    land(tmp_path, [comparison(1)])
    with pytest.raises(SettingsError, match="threshold"):
        read_report(tmp_path, SCOPE, threshold=float("nan"))
