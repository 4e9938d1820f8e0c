"""Rows of the lake's tables from messages, without a Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
from confluent_kafka import Message
from deltalake import DeltaTable

from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._landing import land
from shadowlane.lake import EventTable
from shadowlane.schemas.columns import ColumnCodec


class Read:
    """A message as a consumer gives it; its time is its offset."""

    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def offset(self) -> int:
        """Its offset."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Its kind of time, and its time."""
        return 1, self._offset

    def value(self) -> bytes:
        """Its bytes."""
        return self._value


def rows_of(spec: EventTable, messages: Sequence[bytes], offset: int = 0) -> pa.Table:
    """The rows that these messages become, read one after the other from an offset on."""
    gathered = Gathered(spec.name)
    read = [Read(offset + n, value) for n, value in enumerate(messages)]
    gathered.add(0, cast("list[Message]", read), [each.offset() for each in read])
    landed = land(spec, ColumnCodec(spec.event), gathered)
    assert landed.dead_letters.num_rows == 0
    return landed.rows


def query(table: Path, statement: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB of a table, `{files}` being the files that its log lists."""
    return duckdb.execute(
        statement.format(files="read_parquet($files, union_by_name = true, hive_partitioning = true)"),
        {"files": DeltaTable(str(table)).file_uris()},
    ).fetchall()
