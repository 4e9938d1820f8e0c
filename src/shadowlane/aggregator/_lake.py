"""The lake's tables as a writer sees them: append rows and move the offsets in one commit.

Each commit carries, for every partition it took rows from, a Delta transaction whose app id is
topic-partition and whose version is the next offset to read. The table, not Kafka, is the truth for
where to resume; two writers of one partition cannot both commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from shadowlane.errors import LakeError

_ZSTD = WriterProperties(compression="ZSTD")
#: What Delta says when somebody else committed the same app id, or gave the table the columns of a newer
#: version of the events; it has no error classes for them.
_CONFLICTS = ("Concurrent transaction failed", "Metadata changed since last commit")


class TakenOverError(LakeError):
    """Another aggregator has committed rows of this partition, or new columns, since we last looked."""


class LakeTable:
    """One Delta table, made when it is first opened."""

    def __init__(self, lake: str, name: str, schema: pa.Schema, partition_by: tuple[str, ...]) -> None:
        self.name = name
        self._uri = f"{lake.rstrip('/')}/{name}"
        self._schema = schema
        with self._errors("open or make"):
            self._table = DeltaTable.create(
                self._uri, schema=schema, partition_by=list(partition_by), mode="ignore", name=name
            )
        self._positions: dict[str, int | None] = {}

    def resume(self, app_id: str) -> int | None:
        """The next offset of a partition, read afresh; None where nothing of it has landed yet."""
        with self._errors("read"):
            self._table.update_incremental()
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
            LakeError: the commit failed for another reason; nothing was committed.
        """
        with self._errors("write to"):
            write_deltalake(
                self._table,
                rows,
                mode="append",
                schema_mode="merge",
                commit_properties=self._moves(positions),
                writer_properties=_ZSTD,
            )
        self._positions.update(positions)

    def move(self, positions: Mapping[str, int]) -> None:
        """Commit next offsets alone, where no row stands before them; fails as `append` does."""
        self.append(self._schema.empty_table(), positions)

    def _moves(self, positions: Mapping[str, int]) -> CommitProperties:
        """The positions as Delta has them.

        Our own commits carry the snapshot past those of others, so it is compared with what we
        remember; what is committed after this snapshot, Delta's own conflict check finds.
        """
        for app_id in positions:
            if self._table.transaction_version(app_id) != self._positions.get(app_id):
                raise TakenOverError(f"{self.name}: {app_id} was moved by another aggregator")
        moves: list[Any] = [Transaction(app_id, version) for app_id, version in positions.items()]
        return CommitProperties(app_transactions=moves)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Delta's errors as ours: another aggregator's commit apart from a lake that cannot be used."""
        try:
            yield
        except (DeltaError, OSError) as error:
            if isinstance(error, CommitFailedError) and any(each in str(error) for each in _CONFLICTS):
                raise TakenOverError(f"{self.name}: {error}") from error
            raise LakeError(f"cannot {doing} the table {self._uri}: {error}") from error


def count_rows(lake: str, tables: Iterable[str]) -> int:
    """How many rows these tables hold, from their logs alone; a table that is not there holds none."""
    uris = [f"{lake.rstrip('/')}/{name}" for name in tables]
    return sum(DeltaTable(uri).count() for uri in uris if DeltaTable.is_deltatable(uri))
