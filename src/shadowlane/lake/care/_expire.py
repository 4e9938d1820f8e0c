"""`shadowlane lake expire`: whole days leave the lake, the oldest first, by age or by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shadowlane.errors import SettingsError
from shadowlane.lake._location import Lake
from shadowlane.lake._tables import COMPARISONS, DEAD_LETTERS, ERRORS, REQUESTS, TableSpec
from shadowlane.lake.care._log import tidy
from shadowlane.lake.care._opened import KeptTable, Listed, LostRaceError, open_tables

#: Labels come late and are few, and the ledger is what a report's counts rest on: only when named.
EXPIRING = (COMPARISONS, ERRORS, REQUESTS, DEAD_LETTERS)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class ExpiryPlan:
    """Which days go: those that ended so long ago, and as many more as bring the tables to this size."""

    lake: Lake
    tables: Sequence[TableSpec] = EXPIRING
    model: str | None = None
    older_than: timedelta | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one model in one table."""

    date: date
    table: str
    model: str | None
    files: int
    rows: int
    bytes: int


def expiring(plan: ExpiryPlan) -> list[Day]:
    """The days that would go, the oldest first; nothing is done.

    Raises:
        SettingsError: neither an age nor a size is given.
        LakeError: the lake cannot be read.
    """
    if plan.older_than is None and plan.keep_bytes is None:
        raise SettingsError("say which days go: by age (--older-than 90d), by size (--keep-gb 100), or both")
    days = sorted(
        (day for table in open_tables(plan.lake, plan.tables) for day in _days(table, plan.model)),
        key=_age,
    )
    over = 0 if plan.keep_bytes is None else sum(day.bytes for day in days) - plan.keep_bytes
    going: list[Day] = []
    for day in days:
        if over <= 0 and not _is_old(day, plan.older_than):
            break
        going.append(day)
        over -= day.bytes
    return going


def expire(plan: ExpiryPlan, days: Iterable[Day] | None = None) -> list[Day]:
    """Have the tables no longer list these days, nor what landed in them since; what went, in all.

    By default these are the days that the plan lets go now. Their files stay for readers of older
    versions until a vacuum. Positions stay as they are.
    """
    wanted: dict[str, set[tuple[str | None, date]]] = defaultdict(set)
    for day in expiring(plan) if days is None else days:
        wanted[day.table].add((day.model, day.date))
    specs = [spec for spec in plan.tables if spec.name in wanted]
    tables = open_tables(plan.lake, specs, writing=True) if specs else []
    return [day for table in tables for day in _expire(table, wanted[table.name])]


def _expire(table: KeptTable, wanted: set[tuple[str | None, date]]) -> list[Day]:
    gone = _remove(table, wanted)
    tidy(table)
    return gone


def _remove(table: KeptTable, wanted: set[tuple[str | None, date]]) -> list[Day]:
    for attempt in range(_TRIES):
        table.refresh()
        files = [file for file in table.files() if (file.model, file.date) in wanted]
        try:
            if files:
                table.replace(files, [], data_change=True)
        except LostRaceError:  # a compaction has made others of them
            if attempt + 1 == _TRIES:
                raise
        else:
            return sorted(_summed(table.name, files), key=_age)
    return []


def _days(table: KeptTable, model: str | None) -> list[Day]:
    """Each day of each model; rows without a date are of none, and stay."""
    return _summed(table.name, (file for file in table.files() if model in (None, file.model)))


def _summed(table: str, files: Iterable[Listed]) -> list[Day]:
    days: dict[tuple[date, str | None], list[Listed]] = defaultdict(list)
    for file in files:
        if file.date is not None:
            days[file.date, file.model].append(file)
    return [
        Day(
            day,
            table,
            model,
            len(those),
            sum(file.rows or 0 for file in those),
            sum(file.size for file in those),
        )
        for (day, model), those in days.items()
    ]


def _age(day: Day) -> tuple[date, str, str]:
    return day.date, day.table, day.model or ""


def _is_old(day: Day, age: timedelta | None) -> bool:
    if age is None:
        return False
    end = datetime(day.date.year, day.date.month, day.date.day, tzinfo=UTC) + timedelta(days=1)
    return end <= datetime.now(UTC) - age
