"""A span for each batch, as whoever traces receives it."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shadowlane.replay_worker import Target
from shadowlane.replay_worker._spans import Spans, traceparents

TARGET = Target("fraud", "s")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MAP = pa.map_(pa.string(), pa.string())


def contexts(*traces: str | None) -> pa.MapArray:
    """Requests' contexts, with these traces."""
    return pa.array([[("other", "x")] + ([("traceparent", each)] if each else []) for each in traces], MAP)


def recorded(number: int) -> str:
    """The trace of a request, which somebody records."""
    return f"00-{TRACE}-{number:016x}-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where the spans go."""
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """Of a worker that is traced."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(TARGET, "production-requests", "shadowlane:fraud:s:live", provider.get_tracer("test"))


def test_a_batch_is_a_span_with_links_to_its_requests(spans: Spans, exporter: InMemorySpanExporter) -> None:
    """It took as long as the batch did, and leads to the traces of the requests that are recorded."""
    spans.batch(2.0, 7, lambda: contexts(recorded(1), None, recorded(2), recorded(1)))
    (span,) = exporter.get_finished_spans()
    assert span.name == "shadowlane replay"
    assert span.kind is SpanKind.CONSUMER
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 7
    assert span.attributes["messaging.consumer.group.name"] == "shadowlane:fraud:s:live"
    assert span.attributes["shadowlane.shadow"] == "s"
    assert [link.context.span_id for link in span.links] == [1, 2]
    assert {link.context.trace_id for link in span.links} == {int(TRACE, 16)}
    assert all(link.context.trace_flags.sampled and link.context.is_remote for link in span.links)
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 2_000_000_000


def test_a_batch_that_is_done_again_is_a_span_that_failed(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    """With the kind of its error."""
    spans.batch(0.1, 1, lambda: contexts(None), TimeoutError("too slow"))
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "TimeoutError"


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-00f067aa0ba902b7-00",  # nobody records it
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE[1:]}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        "",
        "garbage",
    ],
)
def test_a_trace_that_leads_nowhere_is_no_link(text: str) -> None:
    """Contexts come from outside: what is no recorded trace is left out."""
    assert traceparents(contexts(text)) == []


def test_an_identity_of_zeros_is_no_link(spans: Spans, exporter: InMemorySpanExporter) -> None:
    """W3C calls it invalid."""
    spans.batch(0.1, 1, lambda: contexts(f"00-{'0' * 32}-00f067aa0ba902b7-01"))
    assert exporter.get_finished_spans()[0].links == ()


def test_links_are_bounded() -> None:
    """A batch may hold ten thousand traces; a hundred lead far enough."""
    found = traceparents(contexts(*map(recorded, range(1, 301))))
    assert found == [recorded(number) for number in range(1, 101)]


def test_contexts_without_traces_have_none() -> None:
    """Nor do no contexts at all."""
    assert traceparents(contexts(None, None)) == []
    assert traceparents(pa.array([[], []], MAP)) == []


def test_nothing_is_traced_where_nobody_traces() -> None:
    """Without a provider the contexts are not even looked at."""
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    Spans(TARGET, "production-requests", "group").batch(1.0, 1, _not_asked_for)


def _not_asked_for() -> pa.MapArray:
    raise AssertionError("nobody traces")


PROGRAM = """
import sys
if "absent" in sys.argv:
    sys.modules["opentelemetry"] = None
elif "set" in sys.argv:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    trace.set_tracer_provider(TracerProvider())
from shadowlane.replay_worker import Target
from shadowlane.replay_worker._spans import Spans
print(Spans(Target("fraud", "s"), "t", "g")._tracer is not None)
"""


@pytest.mark.parametrize(("how", "is_traced"), [("absent", False), ("unset", False), ("set", True)])
def test_whoever_sets_up_a_provider_gets_spans(how: str, is_traced: bool) -> None:
    """OpenTelemetry need not be installed; and where it is, nobody may have set it up."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(is_traced)
