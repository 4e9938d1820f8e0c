"""Figures as JSON has them: times as text, numbers rounded, none of them NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any

from shadowlane.schemas import Prediction

#: A sum of floats depends on the order of its rows in the last digits; 12 are more than any figure means.
_DIGITS = 12


def dump(value: Mapping[str, Any]) -> str:
    """A document as JSON text."""
    # In ASCII, so that no value can act on a terminal; NaN would raise here rather than be written.
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The value as JSON has it: times as text, figures rounded, none of them NaN."""
    if isinstance(value, Prediction):
        return _prediction(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _prediction(value: Prediction) -> dict[str, Any]:
    given = {name: getattr(value, name) for name in Prediction.__slots__}
    return {name: _number(item) for name, item in given.items() if item is not None}


def _number(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_number(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
