"""`shadowlane lake status`: how the lake stands, from its tables' logs alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shadowlane.lake._location import Lake
from shadowlane.lake._tables import TABLES, TableSpec
from shadowlane.lake.care._compact import TARGET_BYTES
from shadowlane.lake.care._opened import KeptTable, Listed, open_tables
from shadowlane.lake.care._planning import is_small, joined
from shadowlane.lake.care._positions import Log, Position, read_log

_RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Holding:
    """Rows and the files that they lie in; of one model, or of a whole table."""

    rows: int
    files: int
    bytes: int
    small_files: int
    days: int
    first_day: date | None
    last_day: date | None
    newest_event: datetime | None

    @property
    def bytes_a_row(self) -> float | None:
        """What a row takes."""
        return self.bytes / self.rows if self.rows else None


@dataclass(frozen=True, slots=True)
class Growth:
    """What a day brings: the mean of the last days that are whole."""

    first_day: date
    last_day: date
    rows_a_day: float
    bytes_a_day: float


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What one model has in a table; None: rows of no known model."""

    model: str | None
    holding: Holding


@dataclass(frozen=True, slots=True)
class TableStatus:
    """How one table stands."""

    table: str
    holding: Holding
    models: list[ModelStatus]
    newest_commit: datetime | None
    joinable_files: int
    joined_files: int
    growth: Growth | None
    log: Log
    positions: list[Position]


def status(
    lake: Lake, tables: Sequence[TableSpec] = TABLES, *, model: str | None = None
) -> list[TableStatus]:
    """How each table stands that is there.

    Raises:
        LakeError: there is no lake, or its log cannot be read.
    """
    return [_status(table, model) for table in open_tables(lake, tables)]


def _status(table: KeptTable, model: str | None) -> TableStatus:
    files = [file for file in table.files() if model in (None, file.model)]
    by_model: dict[str | None, list[Listed]] = defaultdict(list)
    for file in files:
        by_model[file.model].append(file)
    groups = list(joined(files, TARGET_BYTES))
    log, positions = read_log(table)
    return TableStatus(
        table.name,
        _holding(files),
        [
            ModelStatus(name, _holding(by_model[name]))
            for name in sorted(by_model, key=lambda each: each or "")
        ],
        _newest_commit(table),
        sum(len(group) for group in groups),
        len(groups),
        _growth(files),
        log,
        positions,
    )


def _holding(files: Iterable[Listed]) -> Holding:
    files = list(files)
    days = {file.date for file in files if file.date is not None}
    return Holding(
        sum(file.rows or 0 for file in files),
        len(files),
        sum(file.size for file in files),
        sum(is_small(file, TARGET_BYTES) for file in files),
        len(days),
        min(days, default=None),
        max(days, default=None),
        max((file.end for file in files if file.end is not None), default=None),
    )


def _newest_commit(table: KeptTable) -> datetime | None:
    with table.errors("read the log of"):
        newest = table.delta.history(1)
    moment = newest[0].get("timestamp") if newest else None
    return None if moment is None else datetime.fromtimestamp(moment / 1_000, UTC)


def _growth(files: Iterable[Listed]) -> Growth | None:
    """Of the newest day more may come: it counts only where it is alone."""
    files = [file for file in files if file.date is not None]
    days = sorted({file.date for file in files if file.date is not None})
    whole = days[:-1] or days
    if not whole:
        return None
    last = whole[-1]
    first = min(day for day in whole if last - day < _RECENT)
    recent = [file for file in files if file.date is not None and first <= file.date <= last]
    count = (last - first).days + 1
    rows, size = sum(file.rows or 0 for file in recent), sum(file.size for file in recent)
    return Growth(first, last, rows / count, size / count)
