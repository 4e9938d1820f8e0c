"""The two ends of a window as people write them: a time, a distance from now, or offsets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from shadowlane.errors import SettingsError
from shadowlane.replay_worker._plan import TimeRange
from shadowlane.schemas import check_name

EXAMPLES = (
    "write a time (2026-03-01, 2026-03-01T14:30, 2026-03-01T14:30:00+02:00; UTC where no zone is named), "
    "a distance from now (-7d, -36h, -1d12h, now), or offsets (@1200 in each partition, @0:100,1:250)"
)
_AGO = re.compile(r"-(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.IGNORECASE)
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_EACH = re.compile(r"@(\d{1,18})")
_BY_PARTITION = re.compile(r"@\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*")
_LONGEST_TEXT = 120
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a window: a moment, or offsets. Two ends of the same `text` are the same end."""

    text: str
    moment: datetime | None = None
    #: By partition; or one for each partition.
    offsets: Mapping[int, int] | int | None = None
    #: As it stands in the name of a run.
    slug: str = ""
    assumed_utc: bool = False

    @classmethod
    def parse(cls, text: str, now: datetime) -> Self:
        """One end as it was written.

        Raises:
            SettingsError: it is none; with examples.
        """
        given = text.strip()
        try:
            if given.startswith("@"):
                return cls._at(given)
            if given.lower() == "now":
                return cls("now", now, slug="now")
            if given.startswith("-"):
                return cls._ago(given, now)
            return cls._on(given)
        except (ValueError, OverflowError):
            raise SettingsError(f"{text!r} is no end of a window: {EXAMPLES}") from None

    @classmethod
    def _on(cls, text: str) -> Self:
        moment = datetime.fromisoformat(re.sub(r"\s+(?=[Z+-])", "", text))
        aware = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return cls(written(aware), aware, slug=_slug(aware), assumed_utc=moment.tzinfo is None)

    @classmethod
    def _ago(cls, text: str, now: datetime) -> Self:
        match = _AGO.fullmatch(text)
        if match is None or not any(match.groups()):
            raise ValueError(text)
        numbers = {unit: int(digits or 0) for unit, digits in zip(_UNITS, match.groups(), strict=True)}
        ago = timedelta(**numbers)
        short = _duration(ago)
        return cls(f"-{short}", now - ago, slug=f"{short}-ago")

    @classmethod
    def _at(cls, text: str) -> Self:
        each = _EACH.fullmatch(text)
        if each:
            number = int(each[1])
            return cls(f"@{number}", offsets=number, slug=f"offset-{number}")
        if not _BY_PARTITION.fullmatch(text):
            raise ValueError(text)
        pairs = [pair.split(":") for pair in text[1:].split(",")]
        offsets = dict(sorted((int(partition), int(offset)) for partition, offset in pairs))
        if len(offsets) < len(pairs):
            raise SettingsError(f"{text[:_LONGEST_TEXT]!r} names a partition twice")
        whole = "@" + ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
        short = hashlib.sha256(whole.encode()).hexdigest()[:12]
        kept = whole if len(whole) <= _LONGEST_TEXT else f"{whole[:_LONGEST_TEXT]}…{short}"
        return cls(kept, offsets=offsets, slug=f"offsets-{short}")


@dataclass(frozen=True, slots=True)
class Window:
    """From one end up to, and without, the other."""

    start: Bound
    end: Bound

    @classmethod
    def parse(cls, start: str, end: str, now: datetime | None = None) -> Self:
        """A window as it was written; distances are from now.

        Raises:
            SettingsError: an end cannot be read, or the first is not before the second.
        """
        now = now or datetime.now(UTC)
        window = cls(Bound.parse(start, now), Bound.parse(end, now))
        first, last = window.start, window.end
        if first.moment and last.moment and first.moment >= last.moment:
            raise SettingsError(
                f"the window begins at {written(first.moment)} and ends at {written(last.moment)}: "
                "the end must be later than the beginning"
            )
        for partition in _partitions(first) | _partitions(last) | {0}:
            low, high = first_of(first, partition), first_of(last, partition)
            if low is not None and high is not None and low >= high:
                raise SettingsError(f"partition {partition}: offset {high:,} is not after offset {low:,}")
        if _partitions(first) and _partitions(last) and _partitions(first) != _partitions(last):
            raise SettingsError("both ends name partitions by offset, and not the same ones")
        return window

    @property
    def times(self) -> TimeRange:
        """Which requests are meant, by their event time."""
        return TimeRange(self.start.moment, self.end.moment)

    @property
    def partitions(self) -> set[int]:
        """The partitions that are meant; empty: all."""
        return _partitions(self.start) | _partitions(self.end)

    @property
    def run(self) -> str:
        """A name for the run, the same for the same window."""
        name = f"from-{self.start.slug}-to-{self.end.slug}"
        if len(name) > _LONGEST_NAME:
            name = f"window-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return check_name("run", name)

    def __str__(self) -> str:
        return f"{self.start.text} to {self.end.text}"


def first_of(bound: Bound, partition: int) -> int | None:
    """The offset that a bound gives for a partition, where it is one of offsets."""
    if isinstance(bound.offsets, int):
        return bound.offsets
    return bound.offsets.get(partition) if bound.offsets is not None else None


def written(moment: datetime) -> str:
    """A moment as it is shown: in UTC, no finer than it needs to be."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta:
    """A duration as 10m, 36h or 1d12h.

    Raises:
        SettingsError: it is none.
    """
    match = _AGO.fullmatch(f"-{text.strip()}")
    if match is None or not any(match.groups()):
        raise SettingsError(f"{text!r} is no duration: write 30s, 10m, 36h, 1d12h")
    try:
        return timedelta(
            **{unit: int(digits or 0) for unit, digits in zip(_UNITS, match.groups(), strict=True)}
        )
    except OverflowError:
        raise SettingsError(f"{text!r} is longer than any time there was") from None


def _partitions(bound: Bound) -> set[int]:
    return set(bound.offsets) if isinstance(bound.offsets, Mapping) else set()


def _slug(moment: datetime) -> str:
    if moment.microsecond:
        return f"{moment:%Y%m%dT%H%M%S.%f}"
    if moment.second:
        return f"{moment:%Y%m%dT%H%M%S}"
    return f"{moment:%Y%m%dT%H%M}" if moment.hour or moment.minute else f"{moment:%Y%m%d}"


def _duration(ago: timedelta) -> str:
    hours, rest = divmod(ago.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = ((ago.days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
