"""The clocks of a call, bound before a model is loaded: one that replaces those of `time` changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns, process_time_ns, thread_time_ns
from typing import Any

from shadowlane.replay_worker.isolation._gpu import Gpu

#: An answer, and what it took: wall and processor time in nanoseconds, a GPU's in milliseconds where there
#: is one. A plain tuple: one with names would cost as much as all clocks but the processor's.
Taken = tuple[Any, int, int, float | None]


def timed(
    call: Callable[..., Any],
    wait: Callable[[], None] | None = None,
    gpu: Gpu | None = None,
    *,
    processor: Callable[[], int] = process_time_ns,
) -> Callable[..., Taken]:
    """The same call with clocks; they stop when the answer is there, before it is read.

    Processor time is the process's: models use threads of their own.

    Args:
        call: What is timed.
        wait: Returns when the last answer is there; None: it is there when the call returns.
        gpu: The GPU that is at work, too.
        processor: The clock of the processor's time.
    """
    if gpu is not None:
        return _on_gpu(call, wait, gpu)

    if wait is None:  # the common case, at a model's pace of millions a minute

        def quick(*inputs: Any) -> Taken:
            cpu, wall = processor(), perf_counter_ns()
            answer = call(*inputs)
            stopped = perf_counter_ns()
            return answer, stopped - wall, processor() - cpu, None

        return quick

    def waiting(*inputs: Any) -> Taken:
        cpu, wall = processor(), perf_counter_ns()
        answer = call(*inputs)
        wait()
        stopped = perf_counter_ns()
        return answer, stopped - wall, processor() - cpu, None

    return waiting


def timed_in_thread(call: Callable[..., Any]) -> Callable[..., Taken]:
    """Of several calls at once each has its own thread's processor time."""
    return timed(call, processor=thread_time_ns)


def as_told(call: Callable[..., Taken], took: Callable[[Any], int | None]) -> Callable[..., Taken]:
    """The same, but that the model may know better how many nanoseconds an answer took."""

    def run(*inputs: Any) -> Taken:
        answer, wall, cpu, gpu = call(*inputs)
        known = took(answer)
        return answer, wall if known is None else known, cpu, gpu

    return run


def _on_gpu(call: Callable[..., Any], wait: Callable[[], None] | None, gpu: Gpu) -> Callable[..., Taken]:
    def run(*inputs: Any) -> Taken:
        gpu.begin()
        cpu, wall = process_time_ns(), perf_counter_ns()
        answer = call(*inputs)
        if wait is not None:
            wait()
        took = gpu.end()
        stopped = perf_counter_ns()
        return answer, stopped - wall, process_time_ns() - cpu, took

    return run
