"""What a worker is to do, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.schemas import check_name

KeepFeatures = Literal["disagreements", "all", "none"]
Start = Literal["earliest", "latest"]
InputForm = Literal["dicts", "numpy", "pandas", "arrow"]
GroupProtocol = Literal["classic", "consumer"]

#: The run of second answers, beside the run `live`; beside another it is what that run's name ends with.
CONTROL = "control"


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

    @property
    def control(self) -> str:
        """The run that second answers are counted under."""
        name = CONTROL if self.run == "live" else f"{self.run}-{CONTROL}"
        return check_name("control run", name)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, how it wants its input, and what its user vouches for."""

    uri: str
    features: tuple[str, ...] = ()
    input: InputForm | None = None
    allow_pickle: bool = False
    sha256: str | None = None
    #: Types that a skops file may bring in, beside those that skops trusts itself.
    trusted: tuple[str, ...] = ()
    #: How many requests a model over HTTP is asked at once, and for how many features are fetched at once.
    concurrency: int = 8
    #: python:package.module:attribute that looks features up before the model is asked.
    fetch: str | None = None
    fetch_seconds: float = 2.0
    #: `Isolation.call_seconds`, for models that keep to a time limit themselves.
    call_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Isolation:
    """Where the shadow lives, and what it may take and do there."""

    kind: Literal["process", "none"] = "process"
    #: One call of the model (a request's, or a batch's) may take this long.
    call_seconds: float = 30.0
    load_seconds: float = 300.0
    memory_bytes: int | None = None
    #: A model process is replaced after so many requests, or when it has grown by so much.
    recycle_requests: int | None = None
    recycle_bytes: int | None = None
    deny_network: bool = False
    deny_writes: bool = False

    def __post_init__(self) -> None:
        for name, seconds in (("call", self.call_seconds), ("load", self.load_seconds)):
            if not seconds > 0:
                raise SettingsError(f"--{name}-seconds {seconds:g}: use more than 0")
        limits = (self.memory_bytes, self.recycle_requests, self.recycle_bytes)
        if any(limit is not None and limit <= 0 for limit in limits):
            raise SettingsError("a limit on the model's process of 0 or less: use more, or leave it out")
        if self.kind == "none" and (any(limits) or self.deny_network or self.deny_writes):
            raise SettingsError(
                "--isolation none puts the model into the worker's own process, which cannot be limited, "
                "replaced or denied anything: leave it out, or the limits"
            )


@dataclass(frozen=True, slots=True)
class ErrorCeiling:
    """More errors than this and the worker stops, rather than drain the topic into `shadow-errors`."""

    ratio: float = 0.5
    after: int = 1000
    #: So many failures with no answer between them (0: any number).
    consecutive: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise SettingsError(f"error ceiling {self.ratio}: use a share above 0, up to 1 (1: never stop)")
        if self.consecutive < 0:
            raise SettingsError(f"{self.consecutive} consecutive errors: use a count (0: never stop)")

    def reached(self, failed: int, seen: int) -> bool:
        """Whether so many failures among so many requests are too many."""
        return self.ratio < 1 and seen >= self.after and failed > self.ratio * seen

    def reached_in_a_row(self, failures: int) -> bool:
        """Whether so many failures, one after the other, are too many."""
        return 0 < self.consecutive <= failures


@dataclass(frozen=True, slots=True)
class Control:
    """A share of the requests is answered a second time, to tell noise from change."""

    share: float
    #: The primary's own model; without one the shadow is asked twice.
    source: ModelSource | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SettingsError(f"control {self.share}: use a share of the requests above 0, up to 1")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From a time up to, and without, another; None: open."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that a worker needs to know beside Kafka's address."""

    target: Target
    source: ModelSource
    comparator: Comparator = field(default_factory=Comparator)
    ceiling: ErrorCeiling = field(default_factory=ErrorCeiling)
    isolation: Isolation = field(default_factory=Isolation)
    control: Control | None = None
    #: A replica of the primary: asked where a request came without a prediction.
    primary: ModelSource | None = None
    batch: bool = False
    batch_size: int = 5_000
    keep_features: KeepFeatures = "disagreements"
    #: Requests of another time are left out.
    window: TimeRange = TimeRange()
    start: Start = "earliest"
    group_protocol: GroupProtocol = "classic"
    #: After SIGTERM what is under way gets this long to finish.
    grace_seconds: float = 25.0
