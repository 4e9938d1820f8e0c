"""Bring docs/report-json.md and docs/report.schema.json up to date: python docs/generate_report.py."""  # noqa: INP001 (a script)

from __future__ import annotations

import inspect
import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from shadowlane.aggregator import Report
from shadowlane.aggregator.forms._json import REPORT_SCHEMA
from shadowlane.schemas import Prediction

PAGE = Path(__file__).with_name("report-json.md")
SCHEMA = Path(__file__).with_name("report.schema.json")
_PART = re.compile(r"(<!-- fields: generated -->\n).*?(<!-- end -->)", re.DOTALL)
_SIMPLE: Mapping[object, dict[str, Any]] = {
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    # What is no number (NaN, infinite) is null too.
    float: {"type": ["number", "null"]},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    object: {},
    NoneType: {"type": "null"},
}
#: What the JSON has besides the fields of `Report`.
_BESIDES: Mapping[str, tuple[dict[str, Any], str]] = {
    "schema": ({"const": REPORT_SCHEMA}, "Which form this is."),
    "software_version": ({"type": "string"}, "The version of shadowlane that wrote it."),
    "requests": ({"type": "integer"}, "Distinct requests: compared or errored."),
    "disagreements": ({"type": "integer"}, "Compared requests on which the two do not agree."),
    "distribution": (
        {
            "type": "object",
            "properties": {
                "of": {"enum": ["scores", "labels", None]},
                "distance": {"type": ["number", "null"]},
            },
            "required": ["of", "distance"],
        },
        "What the gate's distance is of, and the distance.",
    ),
    "latency_method": ({"type": "string"}, "How percentiles are read off."),
    "notes": (
        {"type": "array", "items": {"type": "string"}},
        "What must be known to read the figures right, in sentences.",
    ),
}
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_PREDICTION = {
    "description": "What a model answered; the fields that it did not give are left out.",
    "type": "object",
    "properties": {
        "score": _NUMBER,
        "label": {"type": "string"},
        "vector": {"type": "array", "items": _NUMBER},
        "ranking": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}


def schema() -> dict[str, Any]:
    """The JSON Schema of `--format json`."""
    found: dict[str, dict[str, Any]] = {}
    top = _record(Report, found)
    top["properties"] = {name: {**of, "description": doc} for name, (of, doc) in _BESIDES.items()} | top[
        "properties"
    ]
    top["required"] = [*_BESIDES, *top["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": REPORT_SCHEMA,
        "title": f"{REPORT_SCHEMA}: what shadowlane report --format json writes",
        **top,
        "$defs": dict(sorted(found.items())),
    }


def _record(cls: type[Any], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of one class, which shuts out no new fields; those of the classes in it go to `found`."""
    said, types = _said(cls), get_type_hints(cls)
    names = [each.name for each in fields(cls)]
    properties = {
        name: _type(types[name], found) | ({"description": said[name]} if name in said else {})
        for name in names
    }
    doc = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    doc = doc.partition("\nRaises:")[0].replace("\n", " ").strip()
    return {"description": doc, "type": "object", "properties": properties, "required": names}


def _type(of: Any, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    origin, inner = get_origin(of), get_args(of)
    if of is Prediction:
        found.setdefault("Prediction", _PREDICTION)
        return {"$ref": "#/$defs/Prediction"}
    if is_dataclass(of) and isinstance(of, type):
        if of.__name__ not in found:
            found[of.__name__] = {}
            found[of.__name__] = _record(of, found)
        return {"$ref": f"#/$defs/{of.__name__}"}
    if origin in (Union, UnionType):
        options = [_type(each, found) for each in inner]
        types = [kind for each in options if [*each] == ["type"] for kind in _many(each["type"])]
        is_simple = all([*each] == ["type"] for each in options)
        return {"type": [*dict.fromkeys(types)]} if is_simple else {"anyOf": options}
    if origin is Literal:
        return {"enum": [*inner]}
    if origin is tuple and inner[-1] is Ellipsis:
        return {"type": "array", "items": _type(inner[0], found)}
    if origin is tuple:
        parts = [_type(each, found) for each in inner]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    if origin is not None:  # a mapping: its keys are text
        return {"type": "object", "additionalProperties": _type(inner[1], found)}
    return dict(_SIMPLE[of])


def _many(kind: str | list[str]) -> list[str]:
    return [kind] if isinstance(kind, str) else kind


def _said(cls: type[Any]) -> dict[str, str]:
    """What the comments in the class say of its fields: beside them, or (`#:`) above."""
    said: dict[str, str] = {}
    names = {each.name for each in fields(cls)}
    above, name = "", ""
    source = io.StringIO(inspect.getsource(cls))
    for token in tokenize.generate_tokens(source.readline):
        before = token.line[: token.start[1]].strip()
        if token.type == tokenize.NAME and not before:
            name = token.string if token.string in names else ""
            if name and above:
                said[name], above = above, ""
        elif token.type == tokenize.COMMENT and token.string.startswith("#:"):
            above = f"{above} {token.string[2:].strip()}".strip()
        elif token.type == tokenize.COMMENT and before and name:
            said[name] = token.string.lstrip("# ")
    return {name: doc.replace("None", "null") for name, doc in said.items()}


def render(page: str) -> str:
    """The page with its tables as the schema has them now."""
    lines = "\n".join(_lines(schema()))
    return _PART.sub(lambda found: f"{found[1]}\n{lines}\n{found[2]}", page)


def _lines(of: Mapping[str, Any]) -> Iterator[str]:
    yield from _section("The report", of)
    for name, record in of["$defs"].items():
        yield from _section(name, record)


def _section(title: str, record: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### {title}", "", record["description"], "", "| field | type | meaning |", "|---|---|---|")
    for name, of in record["properties"].items():
        meaning = of.get("description", "").replace("|", "\\|").replace("<", "&lt;")
        yield f"| `{name}` | {_words(of)} | {meaning} |"
    yield ""


def _words(of: Mapping[str, Any]) -> str:
    """A type as people read it."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in of:
        return f"`{json.dumps(of['const'])}`"
    if "enum" in of:
        return ", ".join(f"`{json.dumps(each)}`" for each in of["enum"])
    if "anyOf" in of:
        return " or ".join(_words(each) for each in of["anyOf"])
    kinds = _many(of.get("type", "any value"))
    if "prefixItems" in of:
        return f"array of {' and '.join(_words(each) for each in of['prefixItems'])}"
    if kinds == ["array"]:
        return f"array of {_words(of['items'])}"
    if kinds == ["object"] and "additionalProperties" in of:
        return f"object: text → {_words(of['additionalProperties'])}"
    return " or ".join([of["format"], *kinds[1:]] if "format" in of else kinds)


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(PAGE.read_text("utf-8")), encoding="utf-8")
