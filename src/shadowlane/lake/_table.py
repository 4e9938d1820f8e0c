"""A table of the lake as its writers see it: rows go in, and offsets move, in one commit.

Each commit carries, for every partition it took rows from, a Delta transaction whose app id is
topic-partition and whose version is the next offset to read. The table, not Kafka, is the truth for
where to resume; two writers of one partition cannot both commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, time_ns
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from shadowlane.errors import LakeError
from shadowlane.lake._commits import check_commits
from shadowlane.lake._evolution import check_table, lacking
from shadowlane.lake._faults import to_lake_error
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._parts import Part, cut
from shadowlane.lake._store import open_store, prove_create_only
from shadowlane.lake._tables import TableSpec

#: What Delta says when somebody else committed the same app id, or gave the table the columns of a newer
#: version of the events; it has no error classes for them.
_CONFLICTS = ("Concurrent transaction failed", "Metadata changed since last commit")
# The log lets go of entries after days (below); a commit must not follow on one that is gone.
_STALE_SECONDS = 3600.0
_PROPERTIES = {
    # What a commit needs of the log is its last checkpoint and what came after.
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


class TakenOverError(LakeError):
    """Another writer has committed rows of this partition, or new columns, since we last looked."""


class LakeTable:
    """One Delta table, made when it is first opened."""

    def __init__(self, lake: Lake, spec: TableSpec) -> None:
        location = Location.parse(lake)
        self.name = spec.name
        self._spec = spec
        self._uri = location.table(spec.name)
        self._place = Location(self._uri, location.options)
        self._options = dict(location.options)
        prove_create_only(location)
        with self._errors("open or make"):
            self._table = self._open()
            self._store = open_store(self._place)
            # Rows that a damaged commit hides would land a second time.
            check_commits(self._store, self._uri, self._table.version())
        self._durable = self._table.version()
        self._looked = monotonic()
        self._in_doubt = False
        check_table(self._table, spec)
        self._positions: dict[str, int | None] = {}
        #: How long the last `append` took to write its files and to commit them, once they were made.
        self.commit_seconds = 0.0

    def _open(self) -> DeltaTable:
        DeltaTable.create(
            self._uri,
            schema=self._spec.schema,
            partition_by=list(self._spec.partition_by),
            mode="ignore",
            name=self.name,
            configuration=_PROPERTIES,
            storage_options=self._options,
        )
        return DeltaTable(self._uri, storage_options=self._options)

    def resume(self, app_id: str) -> int | None:
        """The next offset of a partition, read afresh; None where nothing of it has landed yet."""
        with self._errors("read"):
            self._look()
            if self._in_doubt:
                self._sync()
            self._positions[app_id] = self._table.transaction_version(app_id)
        return self._positions[app_id]

    def position(self, app_id: str) -> int | None:
        """The next offset of a partition, as this writer knows it."""
        return self._positions.get(app_id)

    def append(self, rows: pa.Table, positions: Mapping[str, int]) -> None:
        """Commit rows together with each partition's next offset: both or neither.

        Columns that the table does not have yet, it gets; in the rows of before they are null. So is a
        column of a newer version in the rows of an older one, which may go on beside it.

        Raises:
            TakenOverError: somebody else moved one of these positions, or changed the table's columns;
                nothing was committed.
            LakeError: the commit failed for another reason. Whether it took effect, `resume` tells.
        """
        with self._errors("write to"):
            self._freshen()
            self._widen(rows.schema)
            self._check(positions)  # after it: a commit of columns takes our snapshot past those of others
            parts = list(cut(rows, self._spec))
            began = monotonic()
            self._commit([self._put(part) for part in parts], positions)
            self.commit_seconds = monotonic() - began
        self._positions.update(positions)

    def move(self, positions: Mapping[str, int]) -> None:
        """Commit next offsets alone, where no row stands before them; fails as `append` does."""
        with self._errors("write to"):
            self._freshen()
            self._check(positions)
            self._commit((), positions)
        self._positions.update(positions)

    def _look(self) -> None:
        self._table.update_incremental()
        self._looked = monotonic()

    def _freshen(self) -> None:
        """Look again, where that was long ago."""
        if monotonic() - self._looked > _STALE_SECONDS:
            self._look()

    def _check(self, positions: Mapping[str, int]) -> None:
        """See that nobody else moved them.

        Our own commits carry the snapshot past those of others, so it is compared with what we
        remember; what is committed after this snapshot, Delta's own conflict check finds.
        """
        for app_id in positions:
            if self._table.transaction_version(app_id) != self._positions.get(app_id):
                raise TakenOverError(f"{self.name}: {app_id} was moved by another writer")

    def _widen(self, schema: pa.Schema) -> None:
        """Give the table the columns that only these rows have."""
        fresh = lacking(self.name, self._table.schema(), schema)
        if fresh:
            self._table.alter.add_columns(fresh)
            self._look()

    def _put(self, part: Part) -> AddAction:
        self._store.put(part.path, part.data)
        milliseconds = time_ns() // 1_000_000
        return AddAction(part.path, len(part.data), part.partition, milliseconds, True, part.stats)

    def _commit(self, parts: Sequence[AddAction], positions: Mapping[str, int]) -> None:
        self._in_doubt = True
        moves: list[Any] = [Transaction(app_id, version) for app_id, version in positions.items()]
        self._table.create_write_transaction(
            list(parts),
            "append",
            self._table.schema(),
            list(self._spec.partition_by),
            commit_properties=CommitProperties(app_transactions=moves),
        )
        self._look()
        self._sync()

    def _sync(self) -> None:
        """See that what the log says outlives a loss of power; what failed to is seen to by `resume`."""
        for version in range(self._durable + 1, self._table.version() + 1):
            self._store.sync(f"_delta_log/{version:020d}.json")
        self._durable, self._in_doubt = self._table.version(), False

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Delta's errors as ours: another writer's commit apart from a lake that cannot be used."""
        try:
            yield
        except (DeltaError, OSError) as error:
            if is_conflict(error):
                raise TakenOverError(f"{self.name}: {error}") from error
            raise to_lake_error(error, f"{doing} the table", self._place) from error


def is_conflict(error: BaseException) -> bool:
    """Whether a commit failed since another writer's came first."""
    return isinstance(error, CommitFailedError) and any(each in str(error) for each in _CONFLICTS)


def count_rows(lake: Lake, tables: Iterable[str]) -> int:
    """How many rows these tables hold, from their logs alone; a table that is not there holds none."""
    location = Location.parse(lake)
    return sum(_count(location.table(name), dict(location.options)) for name in tables)


def _count(uri: str, options: dict[str, str]) -> int:
    try:
        return int(DeltaTable(uri, storage_options=options).count())
    except TableNotFoundError:
        return 0
    except (DeltaError, OSError) as error:
        raise to_lake_error(error, "read the table", Location(uri, options)) from error
