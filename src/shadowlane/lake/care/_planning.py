"""Which files become one: pure, from what the table lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from shadowlane.lake.care._opened import Listed

#: A file without a row: its columns' names and ends. What many small ones mostly consist of.
_FOOTER = 6_000
#: As many rows as can be put in order within the memory that is allowed.
MOST_ROWS = 2_000_000
_FIRST = datetime.min.replace(tzinfo=UTC)


def joined(files: Iterable[Listed], target: int, before: datetime | None = None) -> Iterator[list[Listed]]:
    """The files of each folder that are worth joining, by time, as many at once as make a file of this size.

    `before` leaves out the days that had not ended by then.
    """
    folders: dict[str, list[Listed]] = defaultdict(list)
    for file in files:
        if is_small(file, target) and (before is None or _has_ended(file, before)):
            folders[file.folder].append(file)
    for _, small in sorted(folders.items()):
        yield from (group for group in _grouped(small, target) if len(group) > 1)


def is_small(file: Listed, target: int) -> bool:
    """Whether it would be joined with others; one that another engine named oddly is left alone."""
    few = file.rows is not None and file.rows < MOST_ROWS // 2
    return file.size < target // 2 and few and "%" not in file.path


def _has_ended(file: Listed, before: datetime) -> bool:
    if file.date is None:
        return True
    return datetime(file.date.year, file.date.month, file.date.day, tzinfo=UTC) + timedelta(days=1) <= before


def _grouped(files: Sequence[Listed], target: int) -> Iterator[list[Listed]]:
    group: list[Listed] = []
    size = rows = 0
    for file in sorted(files, key=lambda each: (each.start or _FIRST, each.path)):
        if group and (size + _content(file) > target or rows + (file.rows or 0) > MOST_ROWS):
            yield group
            group, size, rows = [], 0, 0
        group.append(file)
        size += _content(file)
        rows += file.rows or 0
    if group:
        yield group


def _content(file: Listed) -> int:
    """About how much it adds to a larger file."""
    return max(file.size - _FOOTER, file.size // 16)
