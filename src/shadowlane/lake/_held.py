"""A table held at one version, for those who read its rows themselves rather than ask an engine.

Whatever is appended, compacted or expired meanwhile: the same files, each checked once before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._evolution import check_features
from shadowlane.lake._faults import explain, is_outage, to_lake_error
from shadowlane.lake._listing import ListedFile, MovedOnError, TableFiles, VersionGoneError
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._store import open_store
from shadowlane.lake._tables import EventTable, TableSpec
from shadowlane.lake._witness import check_files


class NoTableError(LakeError):
    """Nothing has landed in this table yet."""


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that the version lists; the ends of what it holds, where the table's log says them."""

    path: str
    size: int
    model: str | None
    day: date | None
    first: datetime | None
    last: datetime | None
    offsets: tuple[int, int] | None


class HeldTable:
    """A table at one version: its present one, or one that was held before."""

    def __init__(self, lake: Lake, spec: TableSpec, version: int | None = None) -> None:
        """Hold it.

        Raises:
            VersionGoneError: that version cannot be had any more.
            NoTableError: there is none.
            LakeError: it cannot be read.
        """
        self._lake = Location.parse(lake)
        self._spec = spec
        self._table = self._open(version)
        check_features(self._table, self._lake.table(spec.name))
        self.version = self._table.version()
        self.files = tuple(self._listed())
        self._store = open_store(Location(self._lake.table(spec.name), self._lake.options))
        self._checked: set[str] = set()

    def position(self, app_id: str) -> int | None:
        """The offset before which all of a partition had landed; None: nothing of it had."""
        return self._table.transaction_version(app_id)

    @contextmanager
    def open(self, file: HeldFile) -> Iterator[pq.ParquetFile]:
        """A file, once it is known to be what was written.

        Raises:
            VersionGoneError: it was removed, as no recent version lists it.
            DamagedLakeError: it is gone, cut or altered.
        """
        try:
            if file.path not in self._checked:
                self._check(file)
            with closing(self._store.open(file.path)) as data, pq.ParquetFile(data) as parquet:
                yield parquet
        except (FileNotFoundError, MovedOnError) as error:
            raise VersionGoneError(
                f"version {self.version} of {self._lake.table(self._spec.name)} lists {file.path}, which was "
                "removed since: the files of old versions are kept for a time only"
            ) from error
        except (pa.ArrowException, OSError) as error:
            if is_outage(error, self._lake):
                raise to_lake_error(error, f"read {file.path} of", self._lake) from error
            reason = explain(error, self._lake)
            raise DamagedLakeError(f"{self._place(file)} cannot be read: {reason}") from error

    def _open(self, version: int | None) -> DeltaTable:
        url, options = self._lake.table(self._spec.name), dict(self._lake.options)
        try:
            return DeltaTable(url, version=version, storage_options=options)
        except TableNotFoundError:
            raise NoTableError(f"there is no table {url} yet") from None
        except (DeltaError, OSError) as error:
            place = Location(url, options)
            if version is None or is_outage(error, place):
                raise to_lake_error(error, "read the table", place) from error
            raise VersionGoneError(f"version {version} of {url} cannot be had any more") from error

    def _listed(self) -> Iterator[HeldFile]:
        time = self._spec.sorted_by[0] if isinstance(self._spec, EventTable) else ""
        for entry in pa.table(self._table.get_add_actions(flatten=True)).to_pylist():
            ends = (entry.get("min.landed_offset"), entry.get("max.landed_offset"))
            yield HeldFile(
                path=unquote(entry["path"]),
                size=entry["size_bytes"],
                model=entry.get("partition.model"),
                day=entry.get("partition.date"),
                first=_utc(entry.get(f"min.{time}")),
                last=_utc(entry.get(f"max.{time}")),
                offsets=None if None in ends else ends,
            )

    def _check(self, file: HeldFile) -> None:
        """See that it is there, as long as the log says, and has the hash that its name promises."""
        check_files(self._lake, self._store, self._as_listed(file))
        self._checked.add(file.path)

    def _as_listed(self, file: HeldFile) -> TableFiles:
        return TableFiles(
            self._spec.name, self.version, (ListedFile(file.path, self._place(file), file.size),), {}
        )

    def _place(self, file: HeldFile) -> str:
        return f"{self._lake.table(self._spec.name)}/{file.path}"


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
