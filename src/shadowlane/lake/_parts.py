"""A table's new rows as files: cut by folder, sorted, each named after the hash of its bytes.

The name makes a file its own witness: who reads it can tell that not a bit of it was altered, long after
the commit that listed it left the log. And rows that are written a second time, after a crash, have the
same name: nothing is left over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake._tables import TableSpec
from shadowlane.schemas import check_name

_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_HASHED = re.compile(r"part-(?P<sha256>[0-9a-f]{64})\.zstd\.parquet")
ROW_GROUP = 64 * 1024
_MILLISECOND = timedelta(milliseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC) - _MILLISECOND
_FALSE = pa.scalar(value=False)
#: What a reader narrows a table down by, besides the order of its rows.
_SOUGHT = ("shadow", "run", "source_partition", "source_offset")


@dataclass(frozen=True, slots=True)
class Part:
    """One file: where it goes below the table's folder, its bytes, and what Delta's log says of it."""

    path: str
    data: memoryview
    rows: int
    partition: Mapping[str, str | None]
    stats: str


def cut(rows: pa.Table, spec: TableSpec) -> Iterator[Part]:
    """The rows as one file a folder. They have the table's columns, or those of an older version of it."""
    rows = _sorted(rows, spec)
    keys = rows.select(list(spec.partition_by)).group_by(list(spec.partition_by)).aggregate([])
    for key in keys.to_pylist():
        chosen = rows if keys.num_rows == 1 else rows.filter(_is(rows, key))
        yield _part(chosen.drop_columns(list(spec.partition_by)), key, spec)


def sha256_of(path: str) -> str | None:
    """The hash that a file's name promises; None of a file that another engine wrote."""
    found = _HASHED.fullmatch(path.rpartition("/")[2])
    return found["sha256"] if found else None


def _sorted(rows: pa.Table, spec: TableSpec) -> pa.Table:
    """In the table's order; most batches come in it, to the millisecond, and to look is cheap."""
    time = rows.column(spec.sorted_by[0])
    if time.null_count == 0 and pa.types.is_timestamp(time.type) and _is_sorted(_milliseconds(time)):
        return rows
    return rows.sort_by([(name, "ascending") for name in spec.sorted_by])


def _milliseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return times.cast(pa.timestamp("ms", tz="UTC"), safe=False)


def _is_sorted(column: pa.ChunkedArray) -> bool:
    return len(column) < 2 or bool(pc.all(pc.less_equal(column[:-1], column[1:])).as_py())  # noqa: PLR2004


def _is(rows: pa.Table, key: Mapping[str, Any]) -> pa.ChunkedArray:
    wanted = None
    for name, value in key.items():
        column = rows.column(name)
        same = pc.is_null(column) if value is None else pc.fill_null(pc.equal(column, value), _FALSE)
        wanted = same if wanted is None else pc.and_(wanted, same)
    return wanted


def _part(rows: pa.Table, key: Mapping[str, Any], spec: TableSpec) -> Part:
    partition = {name: None if value is None else str(value) for name, value in key.items()}
    folders = [_folder(name, value) for name, value in partition.items()]
    data = _parquet(rows, spec)
    name = f"part-{hashlib.sha256(data).hexdigest()}.zstd.parquet"
    return Part("/".join([*folders, name]), data, rows.num_rows, partition, stats(rows, spec))


def _folder(column: str, value: str | None) -> str:
    """A partition's folder. Names are checked where they come in; here is where one could do harm."""
    if value is None:
        return f"{column}={_NULL_FOLDER}"
    try:
        return f"{column}={check_name(column, value)}"
    except SettingsError as error:
        raise LakeError(f"no folder of the lake: {error}") from error


def _parquet(rows: pa.Table, spec: TableSpec) -> memoryview:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=ROW_GROUP, **layout(rows.schema, spec))
    return memoryview(sink.getvalue())


def layout(schema: pa.Schema, spec: TableSpec) -> dict[str, Any]:
    """How a table's files are written. Only text and the like is worth a dictionary; numbers hardly repeat.

    Row groups say between which values they lie where somebody may seek by these; elsewhere it is work
    for nobody.
    """
    return {
        "compression": "zstd",
        "use_dictionary": _texts(schema),
        "write_statistics": [name for name in _SOUGHT + spec.sorted_by if name in schema.names],
        "coerce_timestamps": "us",
    }


def _texts(schema: pa.Schema) -> list[str]:
    """The paths of the columns that hold text, within maps and lists too, but for those of ids."""
    return [path for field in schema for path in _leaves(field) if not path.endswith("request_id")]


def _leaves(field: pa.Field, prefix: str = "") -> Iterator[str]:
    path, kind = prefix + field.name, field.type
    if pa.types.is_struct(kind):
        for each in kind:
            yield from _leaves(each, f"{path}.")
    elif pa.types.is_map(kind):
        yield f"{path}.key_value.key"
        yield from _leaves(kind.item_field.with_name("value"), f"{path}.key_value.")
    elif pa.types.is_list(kind):
        yield from _leaves(kind.value_field.with_name("element"), f"{path}.list.")
    elif pa.types.is_string(kind):
        yield path


def stats(rows: pa.Table, spec: TableSpec) -> str:
    """For the log: how many rows, and between which values the columns lie that files are sought by."""
    sought = {name: rows.column(name) for name in spec.sorted_by}
    ends = {name: pc.min_max(column).as_py() for name, column in sought.items()}
    said = {
        "numRecords": rows.num_rows,
        "minValues": {name: _least(end["min"]) for name, end in ends.items() if end["min"] is not None},
        "maxValues": {name: _most(end["max"]) for name, end in ends.items() if end["max"] is not None},
        "nullCount": {name: column.null_count for name, column in sought.items()},
    }
    return json.dumps(said)


def _least(value: Any) -> Any:
    """Delta writes times in milliseconds: at or before the least."""
    return _written(value) if isinstance(value, datetime) else value


def _most(value: Any) -> Any:
    """At or after the greatest."""
    return _written(min(value, _LAST) + _MILLISECOND) if isinstance(value, datetime) else value


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
