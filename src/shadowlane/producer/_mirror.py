"""Which shadow runs in this process, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction, check_name

KeepFeatures = Literal["disagreements", "all", "none"]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Which shadow runs in this process, how it is judged, and what it may take.

    Raises:
        SettingsError: a name or figure is not what it must be; the error says which.
    """

    shadow: str
    shadow_version: str
    run: str
    comparator: Comparator
    keep_features: KeepFeatures
    timeout: float
    concurrency: int
    queue_size: int

    def __post_init__(self) -> None:
        check_name("shadow", self.shadow)
        check_name("run", self.run)
        if self.keep_features not in get_args(KeepFeatures):
            known = ", ".join(get_args(KeepFeatures))
            raise SettingsError(f"keep_features is {self.keep_features!r}; use one of {known}")
        if not isinstance(self.timeout, (int, float)) or not 0 < self.timeout < float("inf"):
            raise SettingsError(f"timeout is {self.timeout!r}; it must be a number of seconds above 0")
        for name in ("concurrency", "queue_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} is {value!r}; it must be a whole number from 1")


class Answer(NamedTuple):
    """What the shadow answered, and how long that took; its thread's processor time, where it had one."""

    prediction: Prediction
    latency_ms: float
    cpu_ms: float | None
    basis: str


def answered(raw: object) -> Prediction:
    """The prediction in a shadow's answer, fit to be sent.

    Raises:
        Exception: it is none.
    """
    prediction = Prediction.of(raw)
    for text in (prediction.label, *(prediction.ranking or ())):
        if text is not None:
            text.encode()
    return prediction
