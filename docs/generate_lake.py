"""Bring the generated part of docs/lake.md up to date with the tables: python docs/generate_lake.py."""  # noqa: INP001 (a script)

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from shadowlane.lake import DEAD_LETTERS, DECISIONS, EVENT_TABLES, PREDICTIONS, EventTable, TableSpec
from shadowlane.schemas import contract
from shadowlane.schemas._contracts import FILES

PAGE = Path(__file__).with_name("lake.md")
_PART = re.compile(r"(<!-- tables: generated -->\n).*?(<!-- end -->)", re.DOTALL)
_WHOSE = {"primary": "The primary's answer", "shadow": "The shadow's answer", "label": "The outcome"}
_TYPES = {
    pa.string(): "string",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
}
#: What is in no event.
_OURS = {
    "landed_partition": "The partition of Kafka that the message itself was read from, ...",
    "landed_offset": "... and its offset there. With the table's topic this is the row's own identity.",
    "landed_topic": "The topic that the message was read from.",
    "has_prediction": "Whether the message had a prediction at all: one with nothing in it is not none.",
    "model": "The model's name. In no file: the folder says it.",
    "date": "The day (UTC) of the row's time. In no file: the folder says it.",
}
_LETTER = {
    **_OURS,
    "topic": "The topic that the message lies in.",
    "error_type": "Which kind of error it was.",
    "message": "What is wrong with the message, without its values.",
    "raw": "The message's bytes, as base64 text.",
    "landed_at": "When the aggregator met it.",
    "date": "The day of that (UTC). In no file: the folder says it.",
}
_DECISION = {
    **_OURS,
    "decision_id": "The decision's id: the later it was made, the later in the alphabet.",
    "decided_at": "When it was made.",
    "kind": "gate: what the gate said; override: what somebody put in its place.",
    "shadow": "The shadow's name.",
    "run": "The stream of replays.",
    "verdict": "promote, hold, inconclusive or no_data.",
    "overrides": "The id of the decision that an override sets aside; null of a gate's.",
    "decided_by": "Who made an override; null of a gate's.",
    "reason": "The verdict in a sentence; of an override, why.",
    "policy_digest": "The digest of the policy's criteria.",
    "software_version": "The version of shadowlane that decided.",
    "record": "The whole decision as JSON text, as it was printed.",
    "record_sha256": "The hash of that text's bytes.",
    "date": "The day (UTC) of `decided_at`. In no file: the folder says it.",
}
_ABOUT = {
    "decisions": "What the gate said, and who set it aside ([gate.md](gate.md)). The commits carry the "
    "transaction id `shadowlane/decisions`.",
    "requests": "The archive, where `shadowlane aggregate --archive-requests` fills it: what a replay reads "
    "when Kafka has let go of the requests.",
    "dead_letters": "Messages of these topics that are not the event they should be, each with its place "
    "and its bytes; none of them is in another table.",
}
_OF_OURS = {DEAD_LETTERS.name: _LETTER, DECISIONS.name: _DECISION}


def render(page: str) -> str:
    """The page with the tables as they are now."""
    lines = "\n".join(line for spec in (*EVENT_TABLES, DEAD_LETTERS, DECISIONS) for line in _table(spec))
    return _PART.sub(lambda found: f"{found[1]}\n{lines}\n{found[2]}", page)


def _table(spec: TableSpec) -> Iterator[str]:
    """A section: what a row is, how the table is cut and sorted, and each column."""
    schema = json.loads(contract(spec.event).text) if isinstance(spec, EventTable) else {"fields": []}
    doc = _ABOUT.get(spec.name) or schema["doc"].partition(" Topic ")[0]
    yield from (f"### {spec.name}", "", doc, "")
    folders = " and ".join(f"`{name}`" for name in spec.partition_by)
    if isinstance(spec, EventTable):
        times = "`, or `".join(spec.dated_by)
        folders += f" (the day of `{times}`)"
    order = ", ".join(f"`{name}`" for name in spec.sorted_by)
    yield from (f"Folders: {folders}. Sorted by {order}.", "")
    yield from ("| column | type | meaning |", "|---|---|---|")
    docs = _docs(schema) if isinstance(spec, EventTable) else _OF_OURS[spec.name]
    for column in spec.schema:
        yield f"| `{column.name}` | {_words(column.type)} | {docs[column.name]} |"
    yield ""


def _docs(schema: Mapping[str, Any]) -> dict[str, str]:
    """What each column of an event's table means."""
    found: dict[str, str] = {}
    for field in schema["fields"]:
        prefix = PREDICTIONS.get(field["name"])
        if prefix is None:
            found[field["name"]] = field["doc"]
        else:
            found |= {f"{prefix}_{part}": f"{_WHOSE[prefix]}. {doc}" for part, doc in _prediction().items()}
    return found | _OURS


def _prediction() -> dict[str, str]:
    """The parts of a prediction."""
    for event in FILES:
        for field in json.loads(contract(event).text)["fields"]:
            if isinstance(field["type"], dict) and field["type"].get("name") == "Prediction":
                return {part["name"]: part["doc"] for part in field["type"]["fields"]}
    raise AssertionError("no event has a prediction")


def _words(kind: pa.DataType) -> str:
    """A type as Delta Lake, Spark and Trino call it."""
    if pa.types.is_map(kind):
        return f"map of string to {_words(kind.item_type)}"
    if pa.types.is_list(kind):
        return f"array of {_words(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct [Features](events.md#features)"
    return _TYPES[kind]


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
