"""What a confidence needs of the lake: users' clusters and ranks, held to the statistics of all rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shadowlane.aggregator.gate import Policy, judge, needed_sections
from shadowlane.aggregator.gate._asked import SegmentCriteria
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report.figures import Watch
from shadowlane.aggregator.statistics import design_effect, quantile_sequence_ranks
from shadowlane.aggregator.statistics._normal import deviations, student_deviations
from shadowlane.lake import ERRORS
from unit.aggregator.gate.gate_lakes import SCOPE, comparisons, failing, land
from unit.aggregator.gate.gate_reports import NOW
from unit.aggregator.report_lake import Row


def watched(lake: Path, level: float = 0.95) -> Watch:
    """The section, as the gate reads it."""
    found = read_report(
        lake, SCOPE, sections=needed_sections(Policy(confidence=level)), confidence=level
    ).watch
    assert found is not None
    return found


def clusters(rows: list[Row], is_bad: Any) -> tuple[list[int], list[int]]:
    """Each user's bad requests and all; who has no id stands alone."""
    parts: dict[Any, list[int]] = {}
    for n, row in enumerate(rows):
        found = parts.setdefault(row["entity_id"] or n, [0, 0])
        found[0] += bool(is_bad(row))
        found[1] += 1
    return [each[0] for each in parts.values()], [each[1] for each in parts.values()]


def test_users_are_counted_as_the_statistics_have_them(tmp_path: Path) -> None:
    """The sums over users come to the design effect of each user's own counts, with its caution."""
    rows, errors = comparisons(2_000), failing(60, 3_000)
    land(tmp_path, rows)
    land(tmp_path, errors, ERRORS)
    found = watched(tmp_path)
    wholes = clusters([*rows, *errors], lambda _: False)[1]
    assert (found.users, found.requests) == (len(wholes), 2_060)
    assert found.alike == pytest.approx(sum(each * each for each in wholes) / 2_060)
    for effect, judged, bad in (
        (found.of_disagreement, rows, lambda row: not row["agreement"]),
        (found.of_errors, [*rows, *errors], lambda row: "stage" in row),
    ):
        part, whole = clusters(judged, bad)
        n, k, squares = sum(whole), sum(part), sum(each * each for each in whole)
        events, plain = k * (1 - k / n), design_effect(part, whole)
        assert plain is not None
        few = student_deviations(0.95, n * n / squares - 1) / deviations(0.95)
        assert effect == pytest.approx((plain * events + squares / n) / (events + 1) * few * few)


def test_without_ids_each_request_stands_for_itself(tmp_path: Path) -> None:
    """Then nothing is worth less, and percentiles have the ranks of all rows."""
    rows = comparisons(3_000)
    for row in rows:
        row["entity_id"] = None
    land(tmp_path, rows)
    found = watched(tmp_path)
    assert (found.users, found.alike, found.of_disagreement, found.of_slowness) == (3_000, 1.0, 1.0, 1.0)
    ranks = quantile_sequence_ranks(3_000, 0.99, 0.95)
    assert ranks is not None
    for interval, name in ((found.shadow_p99_ms, "shadow_latency_ms"), (found.cpu_p99_ms, "shadow_cpu_ms")):
        ordered = np.sort([row[name] for row in rows])
        assert interval is not None
        assert (interval.low, interval.high) == (ordered[ranks[0]], ordered[ranks[1]])
    half = quantile_sequence_ranks(3_000, 0.99, 0.975)
    assert half is not None
    shadow, primary = (np.sort([row[f"{name}_latency_ms"] for row in rows]) for name in ("shadow", "primary"))
    assert found.p99_ratio is not None
    assert found.p99_ratio.low == pytest.approx(shadow[half[0]] / primary[half[1]])
    assert found.p99_ratio.high == pytest.approx(shadow[half[1]] / primary[half[0]])


def test_users_widen_the_percentiles_interval(tmp_path: Path) -> None:
    """Where slowness comes with the user, the ranks are those of fewer requests."""
    rows = comparisons(6_000)
    for n, row in enumerate(rows):
        row["entity_id"] = f"u{n % 300}"
        row["shadow_latency_ms"] = 10.0 + n / 1_000 + (100.0 if n % 300 < 3 else 0.0)
    land(tmp_path, rows)
    found = watched(tmp_path)
    assert found.of_slowness > 10
    assert found.shadow_p99_ms is None  # of 300 users the 99th percentile cannot be bounded


def test_odd_latencies_are_in_no_rank(tmp_path: Path) -> None:
    """NaN, infinite, negative and absent ones, and those not timed alone."""
    rows = comparisons(2_000)
    for row, odd in zip(rows[:1_000], [math.nan, math.inf, -1.0, None] * 250, strict=True):
        row |= {"shadow_latency_ms": odd, "primary_latency_ms": odd, "shadow_cpu_ms": odd}
    late = comparisons(500, 2_000, latency_basis="amortized")
    land(tmp_path, [*rows, *late])
    found = watched(tmp_path)
    good = [row["shadow_latency_ms"] for row in rows[1_000:]]
    if found.shadow_p99_ms is not None:
        assert max(good) >= found.shadow_p99_ms.high
    result = judge(tmp_path, SCOPE, Policy(min_requests=1, confidence=0.95), NOW)
    assert result.checks[2].passed is not True


@pytest.mark.parametrize("count", [0, 1])
def test_a_lake_of_nearly_nothing_is_watched(tmp_path: Path, count: int) -> None:
    """No rows and one row have no intervals, and raise nothing."""
    land(tmp_path, comparisons(count) if count else comparisons(1, model="other"))
    found = watched(tmp_path)
    assert (found.users, found.requests, found.shadow_p99_ms) == (count, count, None)
    assert judge(tmp_path, SCOPE, Policy(min_requests=1, confidence=0.95), NOW).promote is False


def test_a_cohort_has_its_own_users(tmp_path: Path) -> None:
    """One that a single user makes up settles nothing; one of many users does."""
    rows = comparisons(6_000)
    for n, row in enumerate(rows):
        row |= {"entity_id": f"u{n}", "agreement": n % 20 != 0}
        if n % 3 == 0:  # those of DE
            row |= {"entity_id": "u1", "agreement": True}
    land(tmp_path, rows)
    policy = Policy(
        confidence=0.95, min_requests=1, segments=SegmentCriteria(names=("country",), min_agreement_rate=0.8)
    )
    found = judge(tmp_path, SCOPE, policy, NOW)
    check = next(each for each in found.checks if each.name == "segments_agreement_ok")
    assert (check.of, check.passed, check.unsettled) == ("country = DE", None, True)
    figures = read_report(tmp_path, SCOPE, by=["country"], sections=needed_sections(policy), confidence=0.95)
    assert figures.watch is not None
    brazil, germany = sorted(figures.watch.cohorts, key=lambda each: str(each.value))
    assert (brazil.value, brazil.of_disagreement, brazil.alike) == ("BR", 1.0, 1.0)
    assert (germany.value, germany.of_disagreement, germany.alike) == ("DE", math.inf, 2_000.0)


def test_one_user_shows_nothing_of_others(tmp_path: Path) -> None:
    """However many his requests, nothing is settled by them."""
    rows = comparisons(3_000)
    for row in rows:
        row |= {"entity_id": "u1", "agreement": True}
    land(tmp_path, rows)
    assert watched(tmp_path).of_disagreement == math.inf
    result = judge(tmp_path, SCOPE, Policy(min_requests=1, confidence=0.95), NOW)
    assert (result.verdict, result.checks[1].passed) == ("inconclusive", None)
