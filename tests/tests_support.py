"""Small makers of valid events, for tests that care about one field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shadowlane.schemas import Features, Prediction, ProductionRequest

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def request(number: int = 0, **changes: Any) -> ProductionRequest:
    """A valid request; its id, entity and one feature tell the number."""
    fields: dict[str, Any] = {
        "request_id": f"request-{number}",
        "event_time": NOON,
        "model": "fraud",
        "model_version": "7",
        "entity_id": f"user-{number % 50}",
        "features": Features.of({"amount": float(number % 10), "count": number, "country": "DE"}),
        "prediction": Prediction(score=number % 10 / 10),
        "latency_ms": 1.5,
        "segments": {"country": "DE"},
    }
    return ProductionRequest(**(fields | changes))
