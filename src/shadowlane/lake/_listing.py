"""Which files a version of a table has, by its log alone, and which of them a scope needs.

The files come from the table's log, never from a glob: a glob meets files half written, and those of
commits that lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._commits import check_commits
from shadowlane.lake._evolution import check_features
from shadowlane.lake._faults import explain, is_outage, to_lake_error
from shadowlane.lake._location import Location
from shadowlane.lake._store import Store
from shadowlane.lake._tables import LABELS, LEDGER, EventTable, TableSpec
from shadowlane.schemas import check_name

#: What the folder of a null is called.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
# What Delta says of a store's log that it got, and could not make sense of.
_NONSENSE = ("Arrow error", "Invalid Checkpoint", "Json error", "No table metadata", "Parquet", "contiguous")
# Engines cut times in the log to whole milliseconds.
_ROUNDING = timedelta(milliseconds=1)


class Extent(Protocol):
    """Which files are read: those of a model, and of the days from start to end; None: all."""

    @property
    def model(self) -> str | None:
        """The model."""

    @property
    def start(self) -> datetime | None:
        """From when on."""

    @property
    def end(self) -> datetime | None:
        """Until when."""


@dataclass(frozen=True, slots=True)
class Everything:
    """All that the lake holds, of one model where one is named."""

    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            check_name("model", self.model)

    @property
    def start(self) -> datetime | None:
        """Since ever."""
        return None

    @property
    def end(self) -> datetime | None:
        """To this day."""
        return None


class MovedOnError(LakeError):
    """Files were removed while they were read, as compaction and retention do: reading again helps."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that a table lists: its path below the table, and where and how long it must be."""

    path: str
    uri: str
    size: int


@dataclass(frozen=True, slots=True)
class TableFiles:
    """One version of a table, and its files that the scope needs. No version: there is no such table yet."""

    name: str
    version: int | None
    listed: tuple[ListedFile, ...]
    by_model: Mapping[str, Sequence[str]]  # the files of every model, not looked at

    @property
    def files(self) -> tuple[str, ...]:
        """Where its files are."""
        return tuple(file.uri for file in self.listed)


class VersionGoneError(LakeError):
    """A version, or a file that only old versions list, was removed from the lake."""


def list_files(
    location: Location, store: Store, spec: TableSpec, scope: Extent, version: int | None = None
) -> TableFiles:
    """The files of a table at its present version, or at one that it had.

    Raises:
        VersionGoneError: that version cannot be had any more.
        DamagedLakeError: its log is not whole, or lists what cannot be a file of this table.
        LakeError: the table is kept in a way that is not read here.
    """
    uri = location.table(spec.name)
    opened = _opened(location, uri, version)
    if opened is None:
        if _has_files(location, uri, store):
            raise DamagedLakeError(f"{uri} has files and no readable _delta_log: not a table")
        return TableFiles(spec.name, None, (), {})
    table, actions = opened
    listed = _entries(actions, spec)
    check_commits(store, uri, table.version())
    if listed and not {f"partition.{name}" for name in spec.partition_by} <= listed[0].keys():
        keys = " and ".join(spec.partition_by)
        raise DamagedLakeError(f"{uri} is not partitioned by {keys}: another program's table?")
    files = [_file(uri, entry, spec) for entry in listed]
    wanted = (file for file, entry in zip(files, listed, strict=True) if _is_wanted(entry, spec, scope))
    by_model: dict[str, list[str]] = {}
    for file, entry in zip(files, listed, strict=True):
        if model := entry.get("partition.model"):
            by_model.setdefault(model, []).append(file.uri)
    return TableFiles(spec.name, table.version(), tuple(sorted(wanted, key=lambda file: file.path)), by_model)


def _has_files(location: Location, uri: str, store: Store) -> bool:
    try:
        return any(entry.path.endswith(".parquet") for entry in store.walk())
    except OSError as error:
        raise to_lake_error(error, "list the files of", Location(uri, location.options)) from error


def missing(location: Location, table: TableFiles, file: ListedFile) -> LakeError:
    """What it means that a listed file is not there: the table moved on, or the file is lost."""
    opened = _opened(location, location.table(table.name))
    if opened is not None and file.path not in map(unquote, opened[1]["path"].to_pylist()):
        return MovedOnError(
            f"the table {table.name} moved on while it was read (files of its version {table.version} were "
            f"removed, by compaction or retention, and version {opened[0].version()} is there now): "
            "run it again"
        )
    return DamagedLakeError(
        f"{file.uri} is listed by its table and cannot be found: "
        "no figures without it; restore it, or restore the table to an earlier version"
    )


def _opened(location: Location, uri: str, version: int | None = None) -> tuple[DeltaTable, pa.Table] | None:
    try:
        table = DeltaTable(uri, version=version, storage_options=dict(location.options))
        actions = pa.table(table.get_add_actions(flatten=True))
    except TableNotFoundError:
        if version is not None:
            raise _gone(uri, version) from None
        return None
    except Exception as error:  # old releases of the library raise bare ones
        # A log that is damaged says so of its present version, too.
        if version is not None and not is_outage(error, location) and _opened(location, uri):
            raise _gone(uri, version) from error
        if not _is_damage(error, location):
            raise to_lake_error(error, "read the table", Location(uri, location.options)) from error
        raise DamagedLakeError(f"the log of {uri} cannot be read: {explain(error, location)}") from error
    check_features(table, uri)
    return table, actions


def _gone(uri: str, version: int) -> VersionGoneError:
    return VersionGoneError(
        f"version {version} of {uri} cannot be had any more: a lake keeps the versions of a week or so"
    )


def _is_damage(error: Exception, location: Location) -> bool:
    """Whether Delta could not make sense of a log, rather than not get at it."""
    in_a_folder = location.folder is not None
    return (in_a_folder or any(each in str(error) for each in _NONSENSE)) and not is_outage(error, location)


def _entries(actions: pa.Table, spec: TableSpec) -> list[dict[str, Any]]:
    """What the log says of each file, without the statistics that no file is sought by."""
    wanted = {"path", "size_bytes", *(_statistics(spec) if isinstance(spec, EventTable) else ())}
    names = [name for name in actions.column_names if name in wanted or name.startswith("partition.")]
    return list(actions.select(names).to_pylist())


def _file(uri: str, entry: Mapping[str, Any], spec: TableSpec) -> ListedFile:
    """The file, when it lies within its table, in the folders of its values.

    The folders are a second witness of what the log says: a file is not read under another model's name.
    """
    path = unquote(entry["path"])
    folders = path.split("/")[:-1]
    if ":" in path.partition("/")[0] or "\\" in path or {"", ".", ".."} & {*folders}:
        raise DamagedLakeError(f"the log of {uri} lists a file outside of the table: it was altered")
    values = [entry[f"partition.{name}"] for name in spec.partition_by]
    expected = [
        f"{name}={NO_VALUE if value is None else value}"
        for name, value in zip(spec.partition_by, values, strict=True)
    ]
    if folders != expected:
        raise DamagedLakeError(
            f"{uri}/{path} does not lie in the folder that its table's log says, {'/'.join(expected)}: "
            "one of the two was altered, or another program laid it out"
        )
    return ListedFile(path, f"{uri}/{path}", entry["size_bytes"])


def _is_wanted(entry: Mapping[str, Any], spec: TableSpec, scope: Extent) -> bool:
    if scope.model is not None and entry.get("partition.model", scope.model) != scope.model:
        return False
    # The ledger counts since a process began, and a label may come at any time: no window cuts them.
    return spec in (LEDGER, LABELS) or (_has_day(entry, scope) and _may_hold(entry, spec, scope))


def _has_day(entry: Mapping[str, Any], scope: Extent) -> bool:
    day = entry["partition.date"]
    if day is None:
        return True
    after = scope.start is None or day >= scope.start.date()
    return after and (scope.end is None or day <= scope.end.date())


def _may_hold(entry: Mapping[str, Any], spec: TableSpec, scope: Extent) -> bool:
    """Whether rows of the window may be in a file, as far as its statistics tell."""
    if not isinstance(spec, EventTable):
        return True
    nulls, least, greatest = (entry.get(name) for name in _statistics(spec))
    if nulls != 0 or not isinstance(least, datetime) or not isinstance(greatest, datetime):
        return True  # rows without the time are dated by another
    begins_before = scope.end is None or _utc(least) - _ROUNDING < scope.end
    return begins_before and (scope.start is None or _utc(greatest) + _ROUNDING >= scope.start)


def _statistics(spec: EventTable) -> Sequence[str]:
    """What the log calls a file's nulls, least and greatest of the time that a table is dated by."""
    return [f"{kind}.{spec.dated_by[0]}" for kind in ("null_count", "min", "max")]


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
