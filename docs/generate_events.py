"""Bring the generated parts of docs/events.md up to date with the schemas: python docs/generate_events.py."""  # noqa: INP001 (a script)

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastavro import schemaless_writer

from shadowlane.schemas import Codec, Prediction, ProductionLabel, contract, to_record
from shadowlane.schemas._contracts import FILES

PAGE = Path(__file__).with_name("events.md")
_PART = re.compile(r"(<!-- (\w+): generated -->\n).*?(<!-- end -->)", re.DOTALL)
_EXAMPLE = ProductionLabel(
    request_id="r-1",
    model="ranker",
    label=Prediction(score=0.5),
    observed_at=datetime(2026, 1, 1, tzinfo=UTC),
    source="crm",
)


def render(page: str) -> str:
    """The page with its generated parts as the schemas have them now."""
    parts = {
        "fields": "\n".join(_fields()),
        "headers": "\n".join(_headers()),
        "example": "\n".join(_example()),
    }
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n\n{found[3]}", page)


def _fields() -> Iterator[str]:
    """A section with a table for each event, then the records that events share."""
    shared: dict[str, dict[str, Any]] = {}
    for event in FILES:
        schema = json.loads(contract(event).text)
        yield from _section(f"### {schema['name']}", schema)
        for field in schema["fields"]:
            for record in _nested(field["type"]):
                shared.setdefault(record["name"], record)
    for name, record in shared.items():
        yield from _section(f"### {name}", record)


def _section(title: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from (title, "", schema["doc"], "", "| field | type | default | meaning |", "|---|---|---|---|")
    for field in schema["fields"]:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        yield f"| `{field['name']}` | {_words(field['type'])} | {default} | {field['doc']} |"
    yield ""


def _nested(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [record for each in schema for record in _nested(each)]
    return [schema] if isinstance(schema, dict) and schema["type"] == "record" else []


def _words(schema: Any) -> str:
    """A type as one reads it."""
    if isinstance(schema, list):
        return f"{_words(schema[1])} or null"
    if isinstance(schema, str):
        return schema if schema[0].islower() else f"[{schema}](#{schema.lower()})"
    if "logicalType" in schema:
        return f"{schema['type']} ({schema['logicalType']})"
    match schema["type"]:
        case "map":
            return f"map of {_words(schema['values'])}"
        case "array":
            return f"list of {_words(schema['items'])}"
        case "record":
            return _words(schema["name"])
    return _words(schema["type"])


def _headers() -> Iterator[str]:
    """What goes before each event's body."""
    yield from ("| event | schema | header |", "|---|---|---|")
    for event, stem in FILES.items():
        file = f"[`{stem}.avsc`](../src/shadowlane/schemas/{stem}.avsc)"
        yield f"| {event.__name__} | {file} | `{contract(event).header.hex(' ')}` |"


def _example() -> Iterator[str]:
    """A message byte by byte."""
    schema: Any = contract(ProductionLabel).schema
    written = [(contract(ProductionLabel).header, "header of ProductionLabel")]
    for field, value in zip(schema["fields"], to_record(_EXAMPLE).values(), strict=True):
        out = io.BytesIO()
        schemaless_writer(out, field["type"], value)
        written.append((out.getvalue(), f"{field['name']} = {json.dumps(value, default=str)}"))
    if b"".join(part for part, _ in written) != Codec(ProductionLabel).encode(_EXAMPLE):
        raise AssertionError("the parts are not the message")
    yield "```text"
    yield from (f"{part.hex(' '):<42} {what}" for part, what in written)
    yield "```"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
