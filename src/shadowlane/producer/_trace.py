"""The trace that a request belongs to, as the W3C writes it, where the service has OpenTelemetry loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

_NAME = "traceparent"
OPENTELEMETRY = "opentelemetry.trace"


def with_trace(context: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The context with the current span's `traceparent`, unless it has one; nothing is imported for it."""
    if OPENTELEMETRY not in sys.modules or (context and _NAME in context):
        return context
    span = sys.modules[OPENTELEMETRY].get_current_span().get_span_context()
    if not span.is_valid:
        return context
    trace = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return {**(context or {}), _NAME: trace}
