"""Labels from a file into the lake: check every row first, then land them, each exactly once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from shadowlane.aggregator.labels._checking import Checker
from shadowlane.aggregator.labels._csv import CsvReader
from shadowlane.aggregator.labels._figures import models_of, repeats, unknown_ids
from shadowlane.aggregator.labels._file import LabelFile, opened
from shadowlane.aggregator.labels._jsonl import JsonLinesReader
from shadowlane.aggregator.labels._landing import LabelLanding, landed_already
from shadowlane.aggregator.labels._mapping import LabelMapping
from shadowlane.aggregator.labels._parquet import ParquetReader
from shadowlane.aggregator.labels._records import Fault, Reader
from shadowlane.aggregator.labels._spool import Spool
from shadowlane.errors import LabelFileError
from shadowlane.lake import Lake

_MOST_FAULTS_SAID = 10


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Which file becomes labels in which lake, and how.

    Attributes:
        file: A path, or `-` for standard input: CSV, JSON lines or Parquet, as its bytes say.
        skip_bad: Land the good rows of a file that has bad ones too; else nothing of it lands.
        dry_run: Only look.
        commit_rows: How many rows become one commit.
    """

    file: str
    lake: Lake
    mapping: LabelMapping
    skip_bad: bool = False
    dry_run: bool = False
    commit_rows: int = 250_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file.

    Attributes:
        rows: How many it has; each is landed, already there, left, bad or empty.
        landed: How many this import landed (a dry run: would land).
        already_there: How many an earlier import of the same file had landed.
        left: How many wait for the import to be run again, since it was told to stop.
        duplicates: Rows that say what another row of the file says of the same request.
        corrections: Rows that say otherwise; the latest counts.
        unknown_ids: Requests that the lake does not know; None where it knows none of the model.
        kinds: What the labels of each name are.
    """

    file: str
    rows: int
    landed: int
    already_there: int
    left: int
    bad: int
    empty: int
    duplicates: int
    corrections: int
    unknown_ids: int | None
    kinds: Mapping[str, str]
    faults: tuple[Fault, ...]
    place: str
    dry_run: bool


#: Hears which step it is at, and how much of how much of it is done.
Follow = Callable[[str, int, int], None]


def import_labels(
    plan: ImportPlan, *, stop: Event | None = None, follow: Follow = lambda _step, _done, _whole: None
) -> Imported:
    """Check a file's rows and land them; told to stop, it ends after a commit, and goes on when run again.

    Raises:
        SettingsError: the file lacks a column that the mapping names.
        LabelFileError: it cannot be read, or has bad rows; nothing has landed.
        LakeError: the lake cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="shadowlane-labels-") as folder:
        try:
            prepared = _prepare(plan, Path(folder), follow)
        except OSError as error:  # those of the file itself are in its own words by now
            raise LabelFileError(
                f"no copy of the checked rows in {folder} (TMPDIR says where): {error.strerror or error}"
            ) from error
        return _land(plan, prepared, stop or Event(), follow)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A file whose rows are all checked: the good ones are in the spool."""

    name: str
    place: str
    digest: str
    checker: Checker
    spool: Spool
    folder: Path


def _prepare(plan: ImportPlan, folder: Path, follow: Follow) -> _Prepared:
    with opened(plan.file, folder) as file:
        digest = plan.mapping.digest(file.sha256())
        reader = _reader(file, plan.mapping, follow)
        checker = Checker(plan.mapping, plan.mapping.resolve(reader.there, file.name), file.name)
        spool = Spool(folder / "checked.parquet", plan.commit_rows)
        for records in reader.read(checker.columns, checker.bad):
            spool.add(checker.check(records))
        spool.close()
        file.check_unchanged()
    if checker.bad.rows and not plan.skip_bad:
        raise LabelFileError(_complaint(file.name, reader.place, checker))
    return _Prepared(file.name, reader.place, digest, checker, spool, folder)


def _reader(file: LabelFile, mapping: LabelMapping, follow: Follow) -> Reader:
    in_bytes = partial(follow, "bytes checked")
    match file.format():
        case "parquet":
            return ParquetReader(file, partial(follow, "rows checked"))
        case "jsonl":
            return JsonLinesReader(file, in_bytes)
        case _:
            return CsvReader(file, mapping.delimiter, in_bytes)


def _complaint(name: str, place: str, checker: Checker) -> str:
    bad, faults = checker.bad.rows, checker.bad.faults
    rows = "1 row cannot be a label" if bad == 1 else f"{bad:,} rows cannot be labels"
    lines = [f"{name}: {rows}, so nothing of it has landed (--skip-bad goes on without)"]
    lines += [f"  {fault_text(fault, place)}" for fault in faults[:_MOST_FAULTS_SAID]]
    return "\n".join(lines)


def fault_text(fault: Fault, place: str) -> str:
    """Line 7, column 'label': expected a finite number (12 rows: lines 7, 9, 10, 11, 12, …)."""
    column = "" if fault.column is None else f", column {fault.column!r}"
    text = f"{place} {fault.first[0]}{column}: expected {fault.expected}"
    if fault.rows == 1:
        return text
    more = ", …" if fault.rows > len(fault.first) else ""
    return f"{text} ({fault.rows:,} rows: {place}s {', '.join(map(str, fault.first))}{more})"


def _land(plan: ImportPlan, prepared: _Prepared, stop: Event, follow: Follow) -> Imported:
    checker, spool = prepared.checker, prepared.spool
    duplicates, corrections = repeats(spool.path, checker.scores, prepared.folder)
    model = plan.mapping.model
    models = models_of(spool.path, prepared.folder) if model is None else [model]
    unknown = unknown_ids(plan.lake, spool.path, models)
    landed, seen = (_look if plan.dry_run else _land_groups)(plan, prepared, stop, follow)
    return Imported(
        file=prepared.name,
        rows=checker.rows + sum(fault.rows for fault in checker.bad.faults if fault.column is None),
        landed=landed,
        already_there=seen - landed,
        left=spool.rows - seen,
        bad=checker.bad.rows,
        empty=checker.empty,
        duplicates=duplicates,
        corrections=corrections,
        unknown_ids=unknown,
        kinds=checker.kinds,
        faults=checker.bad.faults,
        place=prepared.place,
        dry_run=plan.dry_run,
    )


def _look(plan: ImportPlan, prepared: _Prepared, _stop: Event, _follow: Follow) -> tuple[int, int]:
    position = landed_already(plan.lake, prepared.digest)
    return prepared.spool.from_line(position), prepared.spool.rows


def _land_groups(plan: ImportPlan, prepared: _Prepared, stop: Event, follow: Follow) -> tuple[int, int]:
    """How many rows landed, of how many that were seen to."""
    landed = seen = 0
    if prepared.spool.rows:
        landing = LabelLanding(plan.lake, prepared.digest, plan.mapping.source, prepared.checker.scores)
        for rows in prepared.spool.groups():
            if stop.is_set():
                break
            landed += landing.land(rows)
            seen += rows.num_rows
            follow("rows landed", seen, prepared.spool.rows)
    return landed, seen
