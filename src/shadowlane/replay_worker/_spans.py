"""A span for each batch, linked to the traces that its requests belong to; nothing where nobody traces.

Only OpenTelemetry's API is used, and only if it is installed and whoever started us has set up a provider
(`opentelemetry-instrument shadowlane worker …` does). The names are those of OpenTelemetry's messaging
conventions 1.27 and later, which are not declared stable yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from shadowlane import __version__
from shadowlane.replay_worker._plan import Target

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Tracer

_NAME = "shadowlane replay"
_MOST_LINKS = 100
# version-trace-parent-flags; an odd last digit of the flags: this trace is recorded.
_SAMPLED = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]$"


class Spans:
    """Writes the spans of one worker."""

    def __init__(self, target: Target, topic: str, group: str, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or _tracer()
        self._attributes: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "replay",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
            "shadowlane.model": target.model,
            "shadowlane.shadow": target.shadow,
            "shadowlane.run": target.run,
        }

    def batch(
        self,
        seconds: float,
        messages: int,
        context: Callable[[], pa.MapArray],
        failure: BaseException | None = None,
    ) -> None:
        """A batch that has just ended, and took so long; `context` are its requests' contexts."""
        if self._tracer is None:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - see above

        end = time.time_ns()
        span = self._tracer.start_span(
            _NAME,
            kind=SpanKind.CONSUMER,
            attributes=self._attributes | {"messaging.batch.message_count": messages},
            links=list(_links(traceparents(context()))),
            start_time=end - int(seconds * 1e9),
        )
        if failure is not None:
            span.set_attribute("error.type", type(failure).__name__)
            span.set_status(Status(StatusCode.ERROR, str(failure)))
        span.end(end)


def traceparents(context: pa.MapArray) -> list[str]:
    """Of the recorded traces in these contexts the first so many, each once."""
    if not len(context.keys):
        return []
    found = pc.map_lookup(context, pa.scalar("traceparent"), "first").drop_null().unique()
    recorded = found.filter(pc.match_substring_regex(found, _SAMPLED))
    return list(recorded.slice(0, _MOST_LINKS).to_pylist())


def _tracer() -> Tracer | None:
    """Whoever records spans in this process; None where nobody does."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 - it may not be installed
    except ModuleNotFoundError:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return trace.get_tracer("shadowlane", __version__, provider)


def _links(traceparents: list[str]) -> Iterator[Link]:
    from opentelemetry.trace import Link, SpanContext, TraceFlags  # noqa: PLC0415 - see above

    for text in traceparents:
        _, trace_id, span_id, flags = text.split("-")
        context = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
        if context.is_valid:
            yield Link(context)
