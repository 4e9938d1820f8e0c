"""What `predict` of a router adds to a primary, in its caller; and what a shadow in one process costs it.

The primary does next to nothing. First: shadows that do next to nothing either, beside the hook alone
(`hook.observe`); the time of the call. Then: shadows of 10 ms, one that holds the interpreter and one
that waits for others, at 50 requests a second that come at random; the time from when a request is there
until its answer is. The broker is librdkafka's own mock, in the same process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook, ModelRouter, SyncModelRouter

FEATURES: dict[str, Any] = {f"number_{i}": i * 0.37 for i in range(14)}
FEATURES |= {f"count_{i}": i for i in range(3)} | {f"word_{i}": f"value {i}" for i in range(3)}
TURNS = 5


def model(features: Mapping[str, Any]) -> float:
    """A primary, or a shadow, that costs nothing."""
    return float(features["number_3"])


async def model_async(features: Mapping[str, Any]) -> float:
    """The same, to be awaited."""
    return model(features)


def computing(features: Mapping[str, Any]) -> float:
    """A shadow in pure Python: for 10 ms it wants the interpreter to itself."""
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return model(features)


def waiting(features: Mapping[str, Any]) -> float:
    """A shadow that waits 10 ms for another service, or computes outside the interpreter."""
    time.sleep(0.01)
    return model(features)


def main() -> None:
    """Measure and print."""
    with Hook(model="bench", kafka=KafkaSettings(client={"test.mock.num.brokers": "1"})) as hook:

        def router(shadow: Callable[..., Any], concurrency: int = 4) -> SyncModelRouter:
            return SyncModelRouter(
                model, shadow, hook=hook, shadow_name="s", timeout=10, concurrency=concurrency
            )

        def observed(features: Mapping[str, Any]) -> float:
            with hook.observe(features) as call:
                call.prediction = model(features)
            return model(features)

        print("1,000 requests a second, 20 features; µs in the caller")
        show(
            {
                "no hook": model,
                "hook.observe": observed,
                "router, sync shadow": router(model).predict,
                "router, async shadow": router(model_async).predict,
            },
            paced,
        )
        later = ModelRouter(model_async, model, hook=hook, shadow_name="s", timeout=10)
        print(f"{'async router':24}{figures(asyncio.run(paced_async(later.predict, 1000, 10_000)))}")
        print("50 requests a second, shadows of 10 ms; µs until the answer")
        show(
            {
                "no shadow": observed,
                "10 ms in Python": router(computing).predict,
                "... concurrency=1": router(computing, concurrency=1).predict,
                "10 ms of waiting": router(waiting).predict,
            },
            random_requests,
        )


def show(
    calls: Mapping[str, Callable[[Any], object]], ask: Callable[[Callable[[Any], object]], list[float]]
) -> None:
    """Measure in turns, so that each has its share of what else this machine does."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            times[name] += ask(call)
    for name, found in times.items():
        print(f"{name:24}{figures(found)}")


def random_requests(call: Callable[[Any], object], rate: float = 50, requests: int = 200) -> list[float]:
    """The microseconds from when each request is there until its answer is."""
    gaps, times, due = random.Random(7), [], time.perf_counter()  # noqa: S311 (no secret)
    for _ in range(requests):
        due += gaps.expovariate(rate)
        time.sleep(max(0.0, due - time.perf_counter()))
        call(FEATURES)
        times.append((time.perf_counter() - due) * 1e6)
    return times


def paced(call: Callable[[Any], object], rate: float = 1000, requests: int = 2000) -> list[float]:
    """Each call's microseconds."""
    times, start = [], time.perf_counter()
    for number in range(requests):
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        before = time.perf_counter_ns()
        call(FEATURES)
        times.append((time.perf_counter_ns() - before) / 1000)
    return times


async def paced_async(call: Callable[[Any], Awaitable[object]], rate: float, requests: int) -> list[float]:
    """The same in an event loop."""
    times, start = [], time.perf_counter()
    for number in range(requests):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        before = time.perf_counter_ns()
        await call(FEATURES)
        times.append((time.perf_counter_ns() - before) / 1000)
    return times


def figures(times: list[float]) -> str:
    """The median and the 99th percentile."""
    times = sorted(times)
    return f"p50 {times[len(times) // 2]:8.1f}   p99 {times[len(times) * 99 // 100]:8.1f}"


if __name__ == "__main__":
    main()
