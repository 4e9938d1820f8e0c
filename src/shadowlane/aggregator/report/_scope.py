"""What a report is about: a model, its shadow, a run and a window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from shadowlane.errors import SettingsError
from shadowlane.lake import COMPARISONS
from shadowlane.lake.sql import check_condition
from shadowlane.schemas import check_name


@dataclass(frozen=True, slots=True)
class Control:
    """An A/A control: the primary replayed under the name of a shadow, in a run."""

    shadow: str
    run: str = "live"

    def __post_init__(self) -> None:
        check_name("control", self.shadow)
        check_name("run", self.run)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which requests count: those of this model, shadow and run, made at or after start and before end.

    Raises:
        SettingsError: a name cannot be one, a time has no zone, or the window is empty.
    """

    model: str
    shadow: str
    run: str = "live"
    start: datetime | None = None
    end: datetime | None = None
    #: A condition in SQL over the columns of the comparisons; one over what errors lack is true of none.
    where: str | None = None

    def __post_init__(self) -> None:
        check_name("model", self.model)
        check_name("shadow", self.shadow)
        check_name("run", self.run)
        for name in ("start", "end"):
            object.__setattr__(self, name, _in_utc(name, getattr(self, name)))
        if self.where is not None and not self.where.strip():
            raise SettingsError("an empty condition: leave it out, or write one")
        if self.where is not None:
            check_condition(self.where, COMPARISONS)
        if self.start and self.end and self.start >= self.end:
            raise SettingsError(f"an empty window: it starts at {self.start} and ends at {self.end}")

    @property
    def is_whole(self) -> bool:
        """Whether no window and no condition narrows it."""
        return self.start is None and self.end is None and self.where is None


def _in_utc(name: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise SettingsError(f"the window's {name}, {moment}, names no time zone: write it as {moment}+00:00")
    return moment.astimezone(UTC)
