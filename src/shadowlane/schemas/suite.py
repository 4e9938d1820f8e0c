"""A regression suite: requests that a shadow answered differently, with what is expected of the next one.

A file of JSON lines or of Parquet, with the same columns: those of a request, as its schema has them
(features sorted by type), what is expected and why the request is in the suite, and what the shadow said.
A suite comes from anywhere: what is read is held to these types, and to sizes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shadowlane.errors import SettingsError, SuiteFileError
from shadowlane.schemas import ProductionRequest, ShadowComparison
from shadowlane.schemas._suite_json import plain, typed
from shadowlane.schemas.columns import arrow_schema

_REQUEST = arrow_schema(ProductionRequest)
_COMPARISON = arrow_schema(ShadowComparison)
_OF_REQUEST = (
    *("request_id", "event_time", "model", "model_version", "entity_id", "features", "prediction"),
    *("latency_ms", "segments"),
)

#: The columns of a suite. `prediction` is the primary's; `why` the rule that the request stands for, or
#: `largest` or `sample`; `expected_from` is `primary` or `label`.
SUITE = pa.schema(
    [
        *(_REQUEST.field(name) for name in _OF_REQUEST),
        pa.field("shadow", pa.string()),
        pa.field("shadow_version", pa.string()),
        _COMPARISON.field("shadow_prediction"),
        pa.field("expected", _COMPARISON.field("shadow_prediction").type),
        pa.field("expected_from", pa.string()),
        pa.field("why", pa.string()),
        pa.field("source_topic", pa.string()),
        pa.field("source_partition", pa.int32()),
        pa.field("source_offset", pa.int64()),
    ]
)
_NEEDED = ("request_id", "event_time", "model", "features", "expected")

MOST_ROWS = 100_000
_LONGEST_LINE = 16 * 2**20
_LARGEST = 2 * 2**30

_JSON, _PARQUET = (".jsonl", ".ndjson"), (".parquet",)


def is_parquet(path: Path) -> bool:
    """Whether this is a file of Parquet; else it is one of JSON lines.

    Raises:
        SettingsError: the name says neither.
    """
    if path.suffix in (*_JSON, *_PARQUET):
        return path.suffix in _PARQUET
    raise SettingsError(f"{path.name} is no name for a suite: end it in .jsonl (JSON lines) or .parquet")


def write_suite(path: Path, rows: pa.Table) -> None:
    """Write the file, whole or not at all.

    Raises:
        SuiteFileError: it cannot be written.
    """
    as_parquet, beside = is_parquet(path), path.with_name(f".{path.name}.part")
    try:
        if as_parquet:
            pq.write_table(rows, beside)
        else:
            with beside.open("w", encoding="utf-8") as file:
                file.writelines(_line(row) for row in rows.to_pylist())
        beside.replace(path)
    except OSError as error:
        raise SuiteFileError(f"cannot write {path}: {error.strerror}; there is no suite") from error
    finally:
        beside.unlink(missing_ok=True)


def read_suite(path: Path) -> pa.Table:
    """The rows of a file, each of the types that the columns have.

    Raises:
        SuiteFileError: it is not there, too large, damaged, or not of these types; it says which row.
    """
    with _errors(path):
        rows = _from_parquet(path) if is_parquet(path) else _from_json(path)
    for name in _NEEDED:
        if rows[name].null_count:
            place = rows[name].is_null().to_pylist().index(True) + 1
            raise SuiteFileError(f"{path.name}, row {place}: no {name}")
    return rows


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SuiteFileError(f"cannot read {path}: {error.strerror or 'it is damaged'}") from error
    except pa.ArrowException as error:
        raise SuiteFileError(f"{path.name} is no suite: {str(error).splitlines()[0]}") from error


def _from_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        groups = (file.metadata.row_group(place) for place in range(file.metadata.num_row_groups))
        if file.metadata.num_rows > MOST_ROWS or sum(each.total_byte_size for each in groups) > _LARGEST:
            raise SuiteFileError(_too_large(path))
        there = set(file.schema_arrow.names)
        table = file.read(columns=[name for name in SUITE.names if name in there])
    written = (
        {name: plain(value, SUITE.field(name).type) for name, value in row.items()}
        for row in table.cast(pa.schema([SUITE.field(name) for name in table.column_names])).to_pylist()
    )
    rows = [_typed(row, f"{path.name}, row {number}") for number, row in enumerate(written, start=1)]
    return pa.Table.from_pylist(rows, SUITE)


def _from_json(path: Path) -> pa.Table:
    if path.stat().st_size > _LARGEST:
        raise SuiteFileError(_too_large(path))
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            if line.strip():
                rows.append(_row(line, f"{path.name}, line {number}"))
            if len(rows) > MOST_ROWS:
                raise SuiteFileError(_too_large(path))
    return pa.Table.from_pylist(rows, SUITE)


def _row(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise SuiteFileError(f"{place}: not JSON") from None
    if not isinstance(row, dict):
        raise SuiteFileError(f"{place}: not a JSON object")
    return _typed(row, place)


def _typed(row: dict[str, Any], place: str) -> dict[str, Any]:
    try:
        return {field.name: typed(row.get(field.name), field.type, field.name) for field in SUITE}
    except (ValueError, RecursionError) as error:
        raise SuiteFileError(f"{place}: {error}") from None


def _lines(file: Any, path: Path) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise SuiteFileError(f"{path.name}: a line is longer than {_LONGEST_LINE // 2**20} MiB")
        yield line


def _line(row: dict[str, Any]) -> str:
    written = {field.name: plain(row[field.name], field.type) for field in SUITE}
    return json.dumps({name: value for name, value in written.items() if value is not None}) + "\n"


def _too_large(path: Path) -> str:
    return f"{path.name} is too large for a suite: at most {MOST_ROWS:,} rows and {_LARGEST // 2**30} GiB"
