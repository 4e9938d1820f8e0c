"""`shadowlane lake compact`: the small files of each folder become few large ones, while others write."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import time_ns

import pyarrow as pa
from deltalake.transaction import AddAction

from shadowlane.errors import LakeError
from shadowlane.lake._location import Lake
from shadowlane.lake._tables import TABLES, TableSpec
from shadowlane.lake.care._log import tidy
from shadowlane.lake.care._merging import Merged, merge
from shadowlane.lake.care._opened import KeptTable, Listed, LostRaceError, open_tables
from shadowlane.lake.care._planning import joined
from shadowlane.lake.care._spool import Spool

log = logging.getLogger(__name__)

TARGET_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """Which files are joined, and how large a file is to become."""

    lake: Lake
    tables: Sequence[TableSpec] = TABLES
    model: str | None = None
    older_than: timedelta | None = None  # days that ended at least so long ago
    target_bytes: int = TARGET_BYTES
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one table: so many files, of so many bytes, were joined into so few."""

    table: str
    joined: int = 0
    joined_bytes: int = 0
    into: int = 0
    into_bytes: int | None = 0  # not known in a dry run
    rows: int = 0
    files: int = 0


#: Is told how many files of a table are joined, and how many are to be.
Tick = Callable[[str, int, int], None]


def compact(
    plan: CompactionPlan,
    *,
    stop: Event | None = None,
    tick: Tick = lambda _table, _done, _all: None,
) -> list[Compacted]:
    """Join the small files of each table that is there; each new file is a commit, so it may be stopped.

    Raises:
        DamagedLakeError: a file is gone, cut or altered; it stays listed, and is named.
        LakeError: the lake cannot be read or written.
    """
    tables = open_tables(plan.lake, plan.tables, writing=not plan.dry_run)
    return [_Compaction(plan, table, stop or Event(), tick).run() for table in tables]


class _Compaction:
    """One table's."""

    def __init__(self, plan: CompactionPlan, table: KeptTable, stop: Event, tick: Tick) -> None:
        self._plan = plan
        self._table = table
        self._stop = stop
        self._tick = tick
        self._done = Compacted(table.name)
        self._ours = {file.path for file in table.files()}

    def run(self) -> Compacted:
        """Join until nothing is left to be joined: files may come out smaller than they were thought to.

        What lands meanwhile is left to the next run: beside a busy aggregator there would be no end.
        """
        before = self._done
        while groups := self._groups():
            if self._plan.dry_run:
                self._count_planned(groups)
                break
            self._join_all(groups)
            if self._stop.is_set() or self._done == before:
                break
            before = self._done
        if not self._plan.dry_run:
            tidy(self._table)
        return replace(self._done, files=len(self._table.files()))

    def _groups(self) -> list[list[Listed]]:
        self._table.refresh()
        plan = self._plan
        listed = [each for each in self._table.files() if each.path in self._ours]
        files = [each for each in listed if plan.model in (None, each.model)]
        before = None if plan.older_than is None else datetime.now(UTC) - plan.older_than
        return list(joined(files, plan.target_bytes, before))

    def _count_planned(self, groups: Sequence[Sequence[Listed]]) -> None:
        files = [file for group in groups for file in group]
        self._done = replace(
            self._done,
            joined=len(files),
            joined_bytes=sum(file.size for file in files),
            into=len(groups),
            into_bytes=None,
            rows=sum(file.rows or 0 for file in files),
        )

    def _join_all(self, groups: Sequence[Sequence[Listed]]) -> None:
        total, done = sum(len(group) for group in groups), 0
        for group in groups:
            self._tick(self._table.name, done, total)
            if self._stop.is_set():
                return
            try:
                self._join(group)
            except LostRaceError as lost:
                log.info("%s", lost)
            done += len(group)
        self._tick(self._table.name, done, total)

    def _join(self, group: Sequence[Listed]) -> None:
        table = self._table
        try:
            with tempfile.TemporaryDirectory(prefix="shadowlane-compact-") as folder:
                columns = _columns(table)
                spool = Spool(table, group, columns, Path(folder))
                merged = merge(spool, columns, table.spec, Path(folder, "merged"))
                added = self._put(group[0], merged)
        except OSError as error:  # those of the lake are in its own words by now
            raise LakeError(
                f"table {table.name}: its files cannot be joined in the temporary folder "
                f"(TMPDIR says where): {error.strerror or error}"
            ) from error
        # A file that is joined with empty ones may come out as it was.
        gone = [file for file in group if file.path != added.path]
        table.replace(gone, [added] if len(gone) == len(group) else [], data_change=False)
        self._ours.add(added.path)
        self._count(group, merged)

    def _put(self, like: Listed, merged: Merged) -> AddAction:
        table = self._table
        path = f"{like.folder}/part-{merged.sha256}.zstd.parquet"
        values = {"model": like.model, "date": None if like.date is None else str(like.date)}
        with table.errors("write to"):
            table.store.put(path, merged.mapped())
        partition = {name: values[name] for name in table.spec.partition_by}
        return AddAction(path, merged.size, partition, time_ns() // 1_000_000, False, merged.stats)

    def _count(self, group: Sequence[Listed], merged: Merged) -> None:
        done = self._done
        self._done = replace(
            done,
            joined=done.joined + len(group),
            joined_bytes=done.joined_bytes + sum(file.size for file in group),
            into=done.into + 1,
            into_bytes=(done.into_bytes or 0) + merged.size,
            rows=done.rows + merged.rows,
        )


def _columns(table: KeptTable) -> pa.Schema:
    """The table's columns but for those of its folders, of our own types where we know them."""
    known = {field.name: field for field in table.spec.schema}
    listed = pa.schema(table.delta.schema().to_arrow())
    fields = [known.get(field.name, field) for field in listed]
    return pa.schema([each for each in fields if each.name not in table.spec.partition_by])
