"""A table as its keeper sees it: the files that it lists, and commits that put some in others' place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import time_ns
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from shadowlane.errors import LakeError
from shadowlane.lake._commits import check_commits
from shadowlane.lake._evolution import check_features
from shadowlane.lake._faults import to_lake_error
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._store import Store, open_store, prove_create_only
from shadowlane.lake._table import is_conflict
from shadowlane.lake._tables import TableSpec

log = logging.getLogger(__name__)

#: Delta does not notice that two commits remove the same files: both would then have added their rows. So
#: each commit that removes files moves this position on by one, and of two that meet, one fails.
GUARD = "shadowlane/care"
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that the table lists."""

    path: str
    size: int
    rows: int | None
    model: str | None
    date: date | None
    start: datetime | None
    end: datetime | None
    modified: datetime

    @property
    def folder(self) -> str:
        """The folder that it lies in, below the table's."""
        return self.path.rpartition("/")[0]


class LostRaceError(LakeError):
    """What was to be replaced is no longer listed: another keeper of the lake was faster."""


class KeptTable:
    """One table of the lake, at the version that was last looked at."""

    def __init__(self, location: Location, spec: TableSpec, table: DeltaTable) -> None:
        self.name = spec.name
        self.spec = spec
        self.uri = location.table(spec.name)
        self.place = Location(self.uri, location.options)
        self.delta = table
        self.store: Store = open_store(self.place)
        check_features(table, self.uri)
        self.check_log()

    def check_log(self) -> None:
        """See that the log is whole: what it forgot to list would be taken for a leftover.

        Raises:
            DamagedLakeError: it is not.
        """
        with self.errors("read the log of"):
            check_commits(self.store, self.uri, self.delta.version())

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Delta's errors as ours, but for a conflict, which may be tried again."""
        with _errors(self.place, doing):
            yield

    def refresh(self) -> None:
        """Look at the table's latest version."""
        with self.errors("read"):
            self.delta.update_incremental()

    def files(self) -> list[Listed]:
        """The files that are listed now."""
        with self.errors("read"):
            actions = pa.table(self.delta.get_add_actions(flatten=True))
        time = self.spec.sorted_by[0]
        wanted = {
            "path": "path",
            "size": "size_bytes",
            "rows": "num_records",
            "modified": "modification_time",
            "model": "partition.model",
            "date": "partition.date",
            "start": f"min.{time}",
            "end": f"max.{time}",
        }
        there = {name: column for name, column in wanted.items() if column in actions.column_names}
        rows = actions.select(list(there.values())).rename_columns(list(there)).to_pylist()
        return [_listed(row) for row in rows]

    def replace(self, before: Sequence[Listed], after: Sequence[AddAction], *, data_change: bool) -> None:
        """List some files in the place of others, in one commit; other writers go on meanwhile.

        Raises:
            LostRaceError: one of the files is no longer listed.
            LakeError: the commit failed for another reason.
        """
        for attempt in range(_TRIES):
            self.refresh()
            self._check_listed(before)
            removals = [self._removal(each, data_change=data_change) for each in before]
            try:
                self._commit([*removals, *after])
            except CommitFailedError as conflict:
                if attempt + 1 == _TRIES:
                    raise LakeError(f"cannot write to the table {self.uri}: {conflict}") from conflict
                log.debug("%s: %s; trying again", self.name, conflict)
            else:
                return

    def _check_listed(self, files: Iterable[Listed]) -> None:
        listed = {each.path for each in self.files()}
        if any(each.path not in listed for each in files):
            raise LostRaceError(f"table {self.uri}: another compaction or expiry took these files first")

    def _removal(self, file: Listed, *, data_change: bool) -> Any:
        values = {"model": file.model, "date": None if file.date is None else str(file.date)}
        partition = {name: values[name] for name in self.spec.partition_by}
        remove = _remove_action()
        return remove(unquote(file.path), data_change, time_ns() // 1_000_000, file.size, partition)

    def _commit(self, actions: Sequence[Any]) -> None:
        guard = Transaction(GUARD, (self.delta.transaction_version(GUARD) or 0) + 1)
        with self.errors("write to"):
            self.delta.create_write_transaction(
                list(actions),
                "append",
                self.delta.schema(),
                list(self.spec.partition_by),
                commit_properties=CommitProperties(app_transactions=[guard]),
            )
            before = self.delta.version()
            self.delta.update_incremental()
            for version in range(before + 1, self.delta.version() + 1):
                self.store.sync(f"_delta_log/{version:020d}.json")


def open_table(location: Location, spec: TableSpec) -> KeptTable | None:
    """A table of the lake; None where there is none yet.

    Raises:
        LakeError: it cannot be read, or another engine made it into what this one does not understand.
    """
    uri = location.table(spec.name)
    with _errors(Location(uri, location.options), "read"):
        try:
            table = DeltaTable(uri, storage_options=dict(location.options))
        except TableNotFoundError:
            return None
        return KeptTable(location, spec, table)


def open_tables(lake: Lake, specs: Iterable[TableSpec], *, writing: bool = False) -> list[KeptTable]:
    """Those of the tables that are there.

    Raises:
        LakeError: not one of them is, or the store cannot be written to by several at once.
    """
    location = Location.parse(lake)
    if writing:
        _remove_action()  # best known before any work
        prove_create_only(location)
    opened = [table for spec in specs if (table := open_table(location, spec)) is not None]
    if not opened:
        raise LakeError(f"no lake in {location}: none of its tables is there")
    return opened


def _remove_action() -> Any:
    try:
        from deltalake.transaction import RemoveAction  # noqa: PLC0415 - new in 1.6.6
    except ImportError as error:
        raise LakeError(
            "taking files out of a lake needs deltalake 1.6.6 or newer: pip install -U deltalake"
        ) from error
    return RemoveAction


@contextmanager
def _errors(place: Location, doing: str) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        if is_conflict(error):
            raise
        raise to_lake_error(error, f"{doing} the table", place) from error


def _listed(row: dict[str, Any]) -> Listed:
    modified = datetime.fromtimestamp(row["modified"] / 1_000, UTC)
    return Listed(
        row["path"],
        row["size"],
        row.get("rows"),
        row.get("model"),
        row.get("date"),
        _moment(row.get("start")),
        _moment(row.get("end")),
        modified,
    )


def _moment(value: Any) -> datetime | None:
    """A table that is not ordered by time has none."""
    return value if isinstance(value, datetime) else None
