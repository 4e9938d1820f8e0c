"""What a worker is to do, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.schemas import check_name

KeepFeatures = Literal["disagreements", "all", "none"]
Start = Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Target:
    """Which model's requests are replayed on which shadow, and the run they are counted under."""

    model: str
    shadow: str
    shadow_version: str = ""
    run: str = "live"

    def __post_init__(self) -> None:
        for kind, name in (("model", self.model), ("shadow", self.shadow), ("run", self.run)):
            check_name(kind, name)

    @property
    def group(self) -> str:
        """The consumer group that shares this work; no name holds a colon, so no two groups meet."""
        return f"shadowlane:{self.model}:{self.shadow}:{self.run}"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the shadow model comes from, and what its user vouches for."""

    uri: str
    features: tuple[str, ...] = ()
    allow_pickle: bool = False
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorCeiling:
    """More errors than this and the worker stops, rather than drain the topic into `shadow-errors`."""

    ratio: float = 0.5
    after: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise SettingsError(f"error ceiling {self.ratio}: use a share above 0, up to 1 (1: never stop)")

    def reached(self, failed: int, seen: int) -> bool:
        """Whether so many failures among so many requests are too many."""
        return self.ratio < 1 and seen >= self.after and failed > self.ratio * seen


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that a worker needs to know beside Kafka's address."""

    target: Target
    source: ModelSource
    comparator: Comparator = field(default_factory=Comparator)
    ceiling: ErrorCeiling = field(default_factory=ErrorCeiling)
    batch: bool = False
    batch_size: int = 500
    keep_features: KeepFeatures = "disagreements"
    start: Start = "earliest"
