"""What a call took is told honestly: the clocks are ours, and stop when the answer is there."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from asked import asked
from isolated import faulty, requests, whole
from shadowlane.errors import ModelError
from shadowlane.replay_worker import FeatureBatch, Isolation, ModelSource
from shadowlane.replay_worker._answers import Answered, in_order
from shadowlane.replay_worker.isolation import open_host
from shadowlane.replay_worker.isolation._gpu import CupyGpu, TorchGpu, find_gpu
from shadowlane.replay_worker.isolation._runner import Runner
from shadowlane.replay_worker.isolation._timing import timed
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._call_errors import UnavailableError
from shadowlane.schemas import Failure

MILLISECOND = 0.001


class Plain(LoadedModel):
    """A model made of a function of a row's number."""

    def __init__(self, concurrency: int = 1) -> None:
        self.concurrency = concurrency

    def prepare(self, features: FeatureBatch) -> Sequence[float]:
        """The numbers."""
        return [float(row["n"]) for row in features.dicts()]

    def one(self, inputs: Sequence[float], row: int) -> object:
        """Half of it."""
        return inputs[row] / 2

    def many(self, inputs: Sequence[float]) -> Any:
        """The same."""
        return [self.one(inputs, row) for row in range(len(inputs))]


def numbers(count: int) -> FeatureBatch:
    """Requests that are numbered."""
    return asked(*({"n": float(number)} for number in range(count)))


def run(runner: Runner, count: int) -> tuple[list[dict[str, Any]], dict[int, Failure]]:
    """All that a runner said of so many requests."""
    chunks = list(runner.run(numbers(count)))
    failures = dict(failure for chunk in chunks for failure in chunk.failures)
    return in_order([chunk.answers for chunk in chunks], count).to_pylist(), failures


def spin(seconds: float) -> None:
    """Work."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


class Slow(Plain):
    """It sleeps for 20 ms, works for 10, and answers another 20 ms after the call."""

    def one(self, inputs: Sequence[float], row: int) -> object:
        """The call returns, the answer is still to come."""
        time.sleep(20 * MILLISECOND)
        spin(10 * MILLISECOND)
        return super().one(inputs, row)

    def wait(self) -> None:
        """Now it is there."""
        time.sleep(20 * MILLISECOND)


def test_the_clock_stops_when_the_answer_is_there() -> None:
    """Waiting counts as time, and not as the processor's."""
    answers, _ = run(Runner(Slow()), 3)
    for answer in answers:
        assert answer["latency_ms"] >= 40  # the two sleeps; other threads may work beside
        assert 10 <= answer["cpu_ms"] < answer["latency_ms"]
        assert answer["gpu_ms"] is None


def test_the_first_calls_are_warm_up_whatever_comes_of_them() -> None:
    """A call that failed was a call."""

    class Fails(Plain):
        def one(self, inputs: Sequence[float], row: int) -> object:
            return 1 / 0 if row < 4 else super().one(inputs, row)

    runner = Runner(Fails())
    first, failures = run(runner, 8)
    second, _ = run(runner, 8)
    assert sorted(failures) == [0, 1, 2, 3]
    assert {answer["basis"] for answer in first} == {"warmup"}
    assert {answer["basis"] for answer in second} == {"single"}


def test_a_model_that_replaces_the_clocks_changes_nothing() -> None:
    """In a process of its own or in ours: what a call took is what ours say."""
    host = faulty()
    answered = host.run(requests("clocks", "slow", "slow"), lambda: False)
    host.close()
    assert whole(answered) == [0.0, 0.5, 1.0]
    assert answered.answers.column("latency_ms").to_pylist()[1] >= 20


def test_calls_at_once_are_each_timed_alone() -> None:
    """Eight that wait for another take no longer than one, and each latency is its own."""
    barrier = threading.Barrier(8)

    class Waits(Plain):
        def one(self, inputs: Sequence[float], row: int) -> object:
            barrier.wait(20)  # fails unless all eight are asked at once
            return super().one(inputs, row)

    beats: list[None] = []
    answers, failures = run(Runner(Waits(8), on_beat=lambda: beats.append(None)), 24)
    assert not failures
    assert [answer["prediction"]["score"] for answer in answers] == [number / 2 for number in range(24)]
    assert {answer["basis"] for answer in answers} == {"warmup", "single"}
    assert len(beats) == 24


def test_a_failure_among_calls_at_once_is_its_own() -> None:
    """SystemExit in a thread, too."""

    class Fails(Plain):
        def one(self, inputs: Sequence[float], row: int) -> object:
            if row == 5:
                raise SystemExit
            return super().one(inputs, row)

    answers, failures = run(Runner(Fails(4)), 9)
    assert [answer["row"] for answer in answers] == [0, 1, 2, 3, 4, 6, 7, 8]
    assert {row: failure.error_type for row, failure in failures.items()} == {5: "SystemExit"}


class Away(Plain):
    """It asks a server that is away from the fourth request on."""

    def one(self, inputs: Sequence[float], row: int) -> object:
        """While it is there."""
        if row >= 3:
            raise UnavailableError("nobody there")
        return super().one(inputs, row)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_requests_that_cannot_be_asked_now_are_no_failures(concurrency: int) -> None:
    """What is answered is kept; the rest is neither answered nor failed."""
    chunks = list(Runner(Away(concurrency)).run(numbers(8)))
    assert in_order([chunk.answers for chunk in chunks], 8).column("row").to_pylist() == [0, 1, 2]
    assert not any(chunk.failures for chunk in chunks)
    assert chunks[-1].unavailable == "nobody there"


@pytest.mark.parametrize("kind", ["none", "process"])
def test_what_is_away_is_waited_for(kind: Any) -> None:
    """The batch is cut there, and before the next one there is a rest that grows."""
    waited: list[float] = []
    source = ModelSource("python:isolated_models:Away")
    host = open_host(source, Isolation(kind), batch=False, wait=waited.append)
    waited.clear()
    for _ in range(5):
        answered = host.run(numbers(8), lambda: False)
        assert (answered.done, answered.failures) == (3, [])
    host.close()
    assert len([seconds for seconds in waited if seconds > 0]) == 2


def answered_by(kind: Any, *, batch: bool) -> Answered:
    """Two requests of which one lacks a feature and has another instead."""
    source = ModelSource("python:faulty_model:Faulty", features=("n", "age"))
    host = open_host(source, Isolation(kind), batch=batch, wait=lambda _seconds: None)
    given = asked({"n": 1.0, "age": 7.0}, {"n": 2.0, "fault": "exception", "colour": "red"})
    try:
        return host.run(given, lambda: False)
    finally:
        host.close()


@pytest.mark.parametrize("batch", [False, True])
def test_both_homes_of_a_model_give_the_same_figures(batch: bool) -> None:
    """Predictions, failures, features that lack and that nobody asked for, and what it took."""
    ours, its = (answered_by(kind, batch=batch) for kind in ("none", "process"))
    for answered in (ours, its):
        assert answered.rows.tolist() == [0]
        assert [(row, failure.error_type) for row, failure in answered.failures] == [(1, "KeyError")]
        assert answered.missing is not None
        assert answered.missing.to_pylist() == [[], ["age"]]
        assert answered.unexpected == {"fault": 1, "colour": 1}
        assert answered.memory_mb is not None
        assert answered.memory_mb > 0
        (answer,) = answered.answers.to_pylist()
        assert answer["latency_ms"] > 0
        assert answer["cpu_ms"] >= 0
        assert answer["basis"] == "warmup"


class FakeEvent:
    """A mark in a fake GPU's queue."""

    def __init__(self, gpu: FakeCuda, **_how: object) -> None:
        self._gpu = gpu

    def record(self) -> None:
        """Now."""
        self._gpu.said.append("mark")

    def elapsed_time(self, _other: FakeEvent) -> float:
        """Between two marks."""
        assert self._gpu.said[-1].startswith("synchronize"), "the GPU was not waited for"
        return 3.5


class FakeCuda:
    """`torch.cuda` of a machine with two GPUs, of which the model uses one beside the current."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.runtime = SimpleNamespace(getDeviceCount=lambda: 1)
        self.broken = False

    def Event(self, **how: object) -> FakeEvent:  # noqa: N802 - torch's name
        """A mark."""
        return FakeEvent(self, **how)

    def synchronize(self, device: int) -> None:
        """Wait for it."""
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        time.sleep(5 * MILLISECOND)
        self.said.append(f"synchronize {device}")

    def is_initialized(self) -> bool:
        """Whether the model has set it up."""
        return True

    def current_device(self) -> int:
        """The one that is asked."""
        return 0

    def device_count(self) -> int:
        """Three, of which one is not in use."""
        return 3

    def memory_reserved(self, device: int) -> int:
        """On another device."""
        return 1 << 20 if device == 1 else 0

    def max_memory_allocated(self, _device: int) -> int:
        """A megabyte."""
        return 1 << 20


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A machine whose torch has a GPU."""
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


@pytest.mark.parametrize("together", [False, True])
def test_a_gpu_is_waited_for_before_the_clock_stops(cuda: FakeCuda, together: bool) -> None:
    """Its own time is told beside, and its memory; a device that is not in use is left alone."""
    runner = Runner(Plain(), batch=together)
    answers, _ = run(runner, 2)  # a call for each; or one for both, and one for the first alone
    assert [answer["gpu_ms"] for answer in answers] == [3.5, 1.75 if together else 3.5]
    assert cuda.said == ["mark", "mark", "synchronize 0", "synchronize 1"] * 2
    assert all(answer["latency_ms"] >= (5 if together else 10) for answer in answers)
    assert runner.gpu_memory_mb == 2


def test_a_gpu_that_a_call_has_broken_ends_the_process(cuda: FakeCuda) -> None:
    """All later calls would fail as well: the request is tried in a fresh process instead."""

    class Breaks(Plain):
        def one(self, inputs: Sequence[float], row: int) -> object:
            cuda.broken = True
            return super().one(inputs, row)

    with pytest.raises(ModelError, match="the GPU cannot be used any more"):
        run(Runner(Breaks()), 1)


def test_cupy_is_waited_for_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in its words."""
    said: list[str] = []
    event = SimpleNamespace(record=lambda: said.append("mark"))
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(
            Event=lambda: event,
            Device=lambda: SimpleNamespace(synchronize=lambda: said.append("synchronize")),
            get_elapsed_time=lambda _first, _last: 2.0,
            runtime=SimpleNamespace(getDeviceCount=lambda: 1),
        ),
        get_default_memory_pool=lambda: SimpleNamespace(total_bytes=lambda: 512),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    gpu = find_gpu()
    assert isinstance(gpu, CupyGpu)
    answer, _, _, took = timed(lambda: 7, gpu=gpu)()
    assert (answer, took) == (7, 2.0)
    assert said == ["mark", "mark", "synchronize"]
    assert gpu.peak_bytes() == 512


def test_a_machine_without_a_gpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that has set up no GPU is left as it is."""
    assert find_gpu() is None
    idle = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", idle)
    assert find_gpu() is None
    assert TorchGpu(FakeCuda()).peak_bytes() == 2 << 20
