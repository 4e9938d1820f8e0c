"""The Avro schemas as files: the current one of each event, and those that older writers used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastavro import parse_schema

from shadowlane.schemas._events import (
    ControlSetting,
    Event,
    LedgerEntry,
    ProductionLabel,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)
from shadowlane.schemas._framing import known_headers, single_object_header

_FOLDER = Path(__file__).parent

FILES: Mapping[type[Event], str] = MappingProxyType(
    {
        ProductionRequest: "production_request",
        ShadowComparison: "shadow_comparison",
        ShadowError: "shadow_error",
        ProductionLabel: "production_label",
        LedgerEntry: "ledger_entry",
        ControlSetting: "control_setting",
    }
)


@dataclass(frozen=True, slots=True)
class Contract:
    """One event's schema, and each schema that its messages may have been written with."""

    name: str
    text: str
    schema: Any
    header: bytes
    writers: Mapping[bytes, Any]


def contract(event: type[Event]) -> Contract:
    """The contract of an event class, read once."""
    return _load(FILES[event])


@cache
def _load(stem: str) -> Contract:
    text = (_FOLDER / f"{stem}.avsc").read_text(encoding="utf-8")
    raw = json.loads(text)
    schema = parse_schema(raw)
    writers = {}
    for older in map(_read, sorted((_FOLDER / "history").glob(f"{stem}.*.avsc"))):
        writers.update(dict.fromkeys(known_headers(older), parse_schema(older)))
    writers.update(dict.fromkeys(known_headers(raw), schema))
    return Contract(raw["name"], text, schema, single_object_header(raw), MappingProxyType(writers))


def _read(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
