"""What a worker counts, added up and sent about."""

from __future__ import annotations

import math
import pickle
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from shadowlane.health.histogram import SECONDS, Histogram
from shadowlane.replay_worker import Tally
from shadowlane.replay_worker._answers import ANSWERS
from shadowlane.replay_worker._tally import count_names, total


def answers(latencies_ms: list[float | None], bases: list[str]) -> pa.RecordBatch:
    """Answers of which only the time matters."""
    columns = {"latency_ms": pa.array(latencies_ms, pa.float64()), "basis": pa.array(bases)}
    filled = [columns.get(each.name, pa.nulls(len(bases), each.type)) for each in ANSWERS]
    return pa.RecordBatch.from_arrays(filled, schema=ANSWERS)


def test_a_histogram_counts_what_is_at_or_below_each_bound() -> None:
    """A value on a bound belongs to it, as Prometheus has it; the last place is for the rest."""
    histogram = Histogram((1.0, 2.0))
    histogram.add(np.array([0.5, 1.0, 1.5, 2.0, 99.0]))
    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 104.0


def test_a_histogram_leaves_out_what_is_no_figure() -> None:
    """A model's process may send anything; a NaN would spoil the sum for good."""
    histogram = Histogram((1.0,))
    histogram.add(np.array([math.nan, math.inf, 0.5]))
    assert (histogram.counts, histogram.total) == ([1, 0], 0.5)


def test_times_are_counted_by_their_basis_in_seconds() -> None:
    """A share of a batch's time, and a call timed alone, are not one figure."""
    tally = Tally()
    tally.time(answers([1.0, 3.0, None, 500.0], ["single", "single", "single", "amortized"]))
    assert sum(tally.predict["single"].counts) == 2
    assert tally.predict["single"].total == pytest.approx(0.004)
    assert tally.predict["amortized"].counts[SECONDS.index(0.5)] == 1


def test_tallies_add_up() -> None:
    """A fleet is the sum of its workers, and each partition is one worker's."""
    first = Tally(requests=3, compared=2, errors=Counter(predict=1), waiting={0: 4}, memory_mb=80.0)
    second = Tally(requests=1, errors=Counter(decode=1), waiting={1: None}, reached={1: 7.0})
    first.reached = {1: 9.0}
    first.time(answers([1.0], ["single"]))
    second.time(answers([1.0], ["single"]))
    whole = total([first, second])
    assert (whole.requests, whole.compared, whole.failed) == (4, 2, 2)
    assert whole.waiting == {0: 4, 1: None}
    assert whole.reached == {1: 9.0}
    assert whole.memory_mb == 80.0
    assert sum(whole.predict["single"].counts) == 2
    assert first.requests == 3


def test_a_tally_survives_the_way_to_another_process() -> None:
    """What is sent is what arrives."""
    tally = Tally(requests=1, errors=Counter(predict=1), waiting={0: 1})
    tally.time(answers([1.0], ["single"]))
    assert pickle.loads(pickle.dumps(tally)) == tally


def test_names_beyond_all_measure_are_counted_together() -> None:
    """Names of features come from data: a request with random names must not fill the memory."""
    counts = Counter[str]()
    count_names(counts, {f"feature-{number}": 1 for number in range(600)})
    count_names(counts, {"feature-0": 5, "x" * 1000: 2})
    assert len(counts) == 501
    assert counts["feature-0"] == 6
    assert counts["…other"] == 102
