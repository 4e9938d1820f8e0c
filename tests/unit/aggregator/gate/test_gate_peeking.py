"""A gate that is looked at again and again: with a confidence it promotes wrongly no more often than that."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shadowlane.aggregator.gate import Policy, decide
from shadowlane.aggregator.report._watch import _Clusters
from shadowlane.aggregator.report.figures import Watch
from unit.aggregator.gate.gate_reports import NOW, interval, watch
from unit.aggregator.gate.test_gate_confidence import peaks
from unit.aggregator.reports import report

LOOKS = 20
STREAMS = 40
LEVEL = 0.8
#: A fifth of the streams, and three standard deviations.
MOST = STREAMS * (1 - LEVEL) + 3 * math.sqrt(STREAMS * (1 - LEVEL) * LEVEL)


def users(random: np.random.Generator, n: int, each: int) -> NDArray[np.int64]:
    """Whose each request is: users come back, in no order."""
    return random.permutation(np.repeat(np.arange(n // each), each))


def watched(users_: NDArray[np.int64], bad: NDArray[np.bool_]) -> Watch:
    """What a report says of how these requests cluster."""
    whole, part = np.bincount(users_), np.bincount(users_, bad)
    seen = whole[whole > 0], part[whole > 0]
    sums = (len(seen[0]), seen[0].sum(), seen[1].sum(), (seen[0] ** 2).sum(), (seen[1] ** 2).sum())
    clusters = _Clusters(*(int(value) for value in (*sums, (seen[0] * seen[1]).sum())))
    return watch(
        level=LEVEL,
        alike=clusters.alike,
        of_disagreement=clusters.effect(LEVEL),
        shadow_p99_ms=interval(75.0, 85.0, LEVEL),
    )


def promotes(bad: NDArray[np.bool_], users_: NDArray[np.int64] | None, **policy: Any) -> bool:
    """Whether any of the looks at a stream promotes; all but agreement is well."""
    rules = Policy(min_requests=100, max_shadow_error_rate=1, max_distribution_divergence=1, **policy)
    for n in np.unique(np.geomspace(100, len(bad), LOOKS).astype(int)):
        found = report(int(n), int(n - bad[:n].sum()), 0, scores=peaks(1_000))
        if policy:
            plain = watch(level=LEVEL, shadow_p99_ms=interval(75.0, 85.0, LEVEL))
            found = replace(found, watch=plain if users_ is None else watched(users_[:n], bad[:n]))
        if decide(found, rules, NOW).promote:
            return True
    return False


@pytest.mark.parametrize("each", [1, 20])
def test_peeking_promotes_no_more_often_than_allowed(each: int) -> None:
    """The truth is just on the bad side; 20 looks at each of many streams, users coming back or not."""
    random = np.random.default_rng(each)
    sure = plain = 0
    for _ in range(STREAMS):
        whose = users(random, 4_000, each)
        # A user's own rate lies anywhere; on average it is a little over the tenth that is allowed.
        rates = random.beta(0.1005, 0.8995, size=4_000 // each) if each > 1 else np.full(4_000, 0.1005)
        bad = random.random(4_000) < rates[whose]
        sure += promotes(bad, whose, confidence=LEVEL)
        plain += promotes(bad, None)
    assert sure <= MOST
    assert plain > MOST  # point estimates at so many looks let through what the confidence does not


def test_a_shadow_that_is_good_is_promoted() -> None:
    """The confidence costs requests, not the verdict: most good streams pass within the same 20 looks."""
    random = np.random.default_rng(3)
    good = sum(promotes(random.random(4_000) < 0.07, None, confidence=LEVEL) for _ in range(40))
    assert good >= 36


def test_users_that_fail_whole_are_not_overlooked() -> None:
    """One user in fifty fails on all of his requests; before he comes, the rest looks spotless."""
    random = np.random.default_rng(4)
    wrong = 0
    for _ in range(STREAMS):
        whose = users(random, 4_000, 50)
        bad = (random.random(80) < 0.1005)[whose]
        wrong += promotes(bad, whose, confidence=LEVEL)
    assert wrong <= MOST
