"""What a request costs the shadow: processor, graphics processor, memory."""

from __future__ import annotations

from shadowlane.aggregator.report._at_once import at_once
from shadowlane.aggregator.report._columns import LATENCIES, RESOURCES, Columns, Floats, usable
from shadowlane.aggregator.report._ranked import Ranked, total
from shadowlane.aggregator.report.figures import Resources

_HOUR_MS = 3.6e6


def resources(columns: Columns) -> Resources | None:
    """The resources of a request; None where none were measured."""
    cpu, gpu, memory = at_once(lambda name: _ranked(columns, name), RESOURCES)
    if not (cpu.count or gpu.count or memory.count):
        return None
    mean = cpu.mean()
    p50, p99 = cpu.quantiles([0.5, 0.99]) or (None, None)
    memory_p50, memory_max = memory.quantiles([0.5, 1.0]) or (None, None)
    return Resources(
        measured=cpu.count,
        cpu_mean_ms=mean,
        cpu_p50_ms=p50,
        cpu_p99_ms=p99,
        gpu_mean_ms=gpu.mean(),
        memory_p50_mb=memory_p50,
        memory_max_mb=memory_max,
        cpu_hours=None if mean is None else mean * len(columns) / _HOUR_MS,
        primary_busy_ms=_mean(columns, LATENCIES[0]),
    )


def _mean(columns: Columns, name: str) -> float | None:
    pieces = _pieces(columns, name)
    count = sum(map(len, pieces))
    return total(pieces) / count if count else None


def _ranked(columns: Columns, name: str) -> Ranked:
    return Ranked(_pieces(columns, name))


def _pieces(columns: Columns, name: str) -> list[Floats]:
    """What was measured: mostly a column is full, or has no value at all."""
    return [usable(part.numbers(name)) for part in columns.parts if part.given(name)]
