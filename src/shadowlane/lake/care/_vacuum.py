"""`shadowlane lake vacuum`: files that no reader can still need go, and so does what killed writers left."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from urllib.parse import unquote

from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake._location import Lake
from shadowlane.lake._store import Entry
from shadowlane.lake._tables import TABLES, TableSpec
from shadowlane.lake.care._opened import KeptTable, open_tables

KEEP = timedelta(days=7)
#: For longer nobody can tell what a version listed: then a table's log forgets what it removed.
MOST = KEEP
#: A writer has put its files long before it commits them; readers are done with an old version by then.
LEAST = timedelta(hours=1)
# What a file is called until it is whole: ours, and those of Delta's own library.
_DRAFT = re.compile(r"\.[0-9a-f]{16}\.draft|.*#\d+|_commit_.*\.json\.tmp")
_LOG = "_delta_log/"


@dataclass(frozen=True, slots=True)
class VacuumPlan:
    """How long a file is kept that is no longer listed, at most a week; under an hour only by force."""

    lake: Lake
    tables: Sequence[TableSpec] = TABLES
    keep: timedelta = KEEP
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What went from one table's folder, and what is not listed either and has to wait."""

    table: str
    files: int
    bytes: int
    waiting: int
    waiting_bytes: int


def vacuum(plan: VacuumPlan) -> list[Vacuumed]:
    """Delete what no version younger than `keep` lists, and is itself older; never what is listed now.

    Raises:
        SettingsError: so little is kept that a writer's files could go before it commits them; or more
            than a table's log can tell.
        LakeError: the lake cannot be read, or a file cannot be deleted.
    """
    if plan.keep < LEAST and not plan.force:
        raise SettingsError(
            "a vacuum that keeps less than 1 hour may take the files that an aggregator is about to commit, "
            "and those that a report is reading: keep 1 hour or more, or stop them all and use --force"
        )
    if plan.keep > MOST:
        raise SettingsError(
            "a table's log knows for 7 days what its versions listed, so no vacuum keeps it for longer: "
            "keep 168 hours or less, or run none"
        )
    return [_vacuum(table, plan) for table in open_tables(plan.lake, plan.tables)]


def _vacuum(table: KeptTable, plan: VacuumPlan) -> Vacuumed:
    before = datetime.now(UTC) - plan.keep
    with table.errors("list the files of"):
        found = list(table.store.walk())
    # Looked at after the files were: what was committed between the two is listed, and stays.
    table.refresh()
    table.check_log()
    # By name alone: a disk that does not tell case shows the folders of `Ranker` and `ranker` as one.
    listed = {_name(unquote(file.path)) for file in table.files()}
    unlisted = [each for each in found if _name(each.path) not in listed and not _is_log(each)]
    gone = _no_longer_needed(table, plan.keep)
    going = [each for each in unlisted if each.modified < before and (each.path in gone or _is_draft(each))]
    waiting = {each.path: each.size for each in unlisted} | {each.path: 0 for each in going}
    if not plan.dry_run:
        for folder, entries in _by_folder(going):
            _delete(table, folder, entries)
    return Vacuumed(
        table.name,
        len(going),
        sum(each.size for each in going),
        len(unlisted) - len(going),
        sum(waiting.values()),
    )


def _no_longer_needed(table: KeptTable, keep: timedelta) -> set[str]:
    """By Delta's own rules: removed so long ago, or never listed."""
    hours = ceil(keep / timedelta(hours=1))
    with table.errors("look for files to delete in"):
        paths = table.delta.vacuum(
            retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=True
        )
    return {unquote(path) for path in paths}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_log(entry: Entry) -> bool:
    """Delta's own, which is cleaned with the checkpoints."""
    return entry.path.startswith(_LOG) and not _is_draft(entry)


def _is_draft(entry: Entry) -> bool:
    return _DRAFT.fullmatch(_name(entry.path)) is not None


def _by_folder(entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    folders: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        folders[entry.path.rpartition("/")[0]].append(entry)
    yield from folders.items()


def _delete(table: KeptTable, folder: str, entries: Iterable[Entry]) -> None:
    """Delete what is still as it was seen: a writer that does its work again gives a file its old name."""
    try:
        now = {each.path: each.modified for each in table.store.walk(folder)}
        for entry in entries:
            if now.get(entry.path) == entry.modified:
                table.store.remove(entry.path)
    except OSError as error:
        raise LakeError(f"cannot delete files of {table.uri}/{folder}: {error}") from error
