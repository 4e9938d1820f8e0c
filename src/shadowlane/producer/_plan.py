"""What a hook was told: whose requests, where to, which of them, and what it may take of its process."""

from __future__ import annotations

from dataclasses import dataclass

from shadowlane.errors import SettingsError
from shadowlane.producer._encode import Subject
from shadowlane.producer._outbox import MakeOutbox
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._sampling import Sampling
from shadowlane.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """What a hook may take of its process.

    Attributes:
        queue_size: Requests that may wait for the background thread, which has at most 32 more in hand;
            one more is dropped and counted.
        queue_bytes: Memory that they may take together, by an estimate that the background thread makes
            of what it cannot send at once; what does not fit is dropped and counted. What comes in
            between two of its looks (at most 50 ms) is beside that. librdkafka's own queue, for messages
            that Kafka has not answered, may take 32 MiB (`queue.buffering.max.kbytes`).
        exit_seconds: How long `close`, and the end of the process, may take to deliver what waits.
        ledger_seconds: How often the counts go to the ledger.
    """

    queue_size: int = 10_000
    queue_bytes: int = 64 * 1024 * 1024
    exit_seconds: float = 2.0
    ledger_seconds: float = 10.0

    def __post_init__(self) -> None:
        leasts = {"queue_size": 1, "queue_bytes": 1, "exit_seconds": 0, "ledger_seconds": 0.1}
        for name, least in leasts.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value < float("inf"):
                raise SettingsError(f"{name} is {value!r}; it must be a number from {least}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a hook's couriers have in common, whichever process they run in."""

    subject: Subject
    settings: KafkaSettings
    limits: Limits
    sampling: Sampling
    redaction: Redaction | None
    make_outbox: MakeOutbox
