"""What the library does not tell of a log: how long it is, and whose positions it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shadowlane.errors import LakeError
from shadowlane.lake._store import Entry
from shadowlane.lake.care._opened import GUARD, KeptTable

_COMMIT = re.compile(r"_delta_log/(\d{20})\.json")
_CHECKPOINT = re.compile(r"_delta_log/(\d{20})\.checkpoint\.parquet")
_TOPIC_ID = "topic-id/"


@dataclass(frozen=True, slots=True)
class Log:
    """A table's log: its latest version, the checkpoint that reading starts from, and its size."""

    version: int
    checkpoint: int | None
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition has landed."""

    topic: str
    partition: int
    next_offset: int


def read_log(table: KeptTable) -> tuple[Log, list[Position]]:
    """How long the log is, and the position of each partition at the version that was opened."""
    with table.errors("list the log of"):
        entries = list(table.store.walk("_delta_log"))
    version = table.delta.version()
    checkpoint = max((found for found in _numbered(_CHECKPOINT, entries) if found <= version), default=None)
    try:
        moved = {} if checkpoint is None else _of_checkpoint(table, checkpoint)
        for number in range(0 if checkpoint is None else checkpoint + 1, version + 1):
            moved |= _of_commit(table, number)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LakeError(f"the log of the table {table.uri} cannot be read: {error}") from error
    log = Log(version, checkpoint, len(entries), sum(entry.size for entry in entries))
    return log, sorted(_positions(moved), key=lambda each: (each.topic, each.partition))


def _numbered(pattern: re.Pattern[str], entries: Iterable[Entry]) -> list[int]:
    return [int(found[1]) for entry in entries if (found := pattern.fullmatch(entry.path))]


def _of_checkpoint(table: KeptTable, version: int) -> dict[str, int]:
    data = _read(table, f"_delta_log/{version:020d}.checkpoint.parquet")
    actions = pq.read_table(BytesIO(data), columns=["txn"]).column("txn").drop_null().to_pylist()
    return {each["appId"]: each["version"] for each in actions if each["appId"] is not None}


def _of_commit(table: KeptTable, version: int) -> dict[str, int]:
    lines = _read(table, f"_delta_log/{version:020d}.json").splitlines()
    actions: list[dict[str, Any]] = [json.loads(line) for line in lines if b'"txn"' in line]
    return {each["txn"]["appId"]: each["txn"]["version"] for each in actions if "txn" in each}


def _read(table: KeptTable, path: str) -> bytes:
    with table.store.open(path) as file:
        return bytes(file.read())


def _positions(moved: dict[str, int]) -> Iterable[Position]:
    for app_id, version in moved.items():
        topic, _, partition = app_id.rpartition("-")
        if topic and partition.isdecimal() and app_id != GUARD and not app_id.startswith(_TOPIC_ID):
            yield Position(topic, int(partition), version)
