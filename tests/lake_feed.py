"""What workers and others send to the topics of a lake: of every kind, of several days, some aborted."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from confluent_kafka import Producer

from shadowlane.kafka import KafkaSettings, TopicNames, make_producer
from shadowlane.schemas import (
    Codec,
    Features,
    LedgerEntry,
    Prediction,
    ProductionLabel,
    ShadowComparison,
    ShadowError,
)
from tests_support import NOON

COMPARISONS, ERRORS = Codec(ShadowComparison), Codec(ShadowError)
LABELS, LEDGER = Codec(ProductionLabel), Codec(LedgerEntry)


class Feed:
    """Publishes in transactions, numbered from 0; each seed is another stream."""

    def __init__(self, settings: KafkaSettings, seed: int = 0) -> None:
        self._settings = settings
        self._topics = TopicNames(settings.topic_prefix)
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._name = f"{seed}"
        self._producer = self._new_producer()
        self.published = 0

    def publish(self, count: int, *, commit: bool = True) -> None:
        """So many comparisons with all that comes beside them, in one transaction, kept or aborted."""
        self._producer.begin_transaction()
        for number in range(self.published, self.published + count):
            self._send(number)
        assert self._producer.flush(60) == 0
        if commit:
            self._producer.commit_transaction(60)
        else:
            self._producer.abort_transaction(60)
        self.published += count

    def some(self, count: int) -> None:
        """So many in a few transactions, one of them aborted."""
        self.publish(count // 2)
        self.publish(count // 4, commit=False)
        self.publish(count - count // 2 - count // 4)

    @contextmanager
    def flowing(self, count: int = 60, pause: float = 0.2) -> Iterator[None]:
        """They come, and are aborted now and then, until the block ends."""
        over = Event()

        def flow() -> None:
            while not over.wait(pause):
                self.some(count)

        source = Thread(target=flow)
        source.start()
        try:
            yield
        finally:
            over.set()
            source.join()

    def _new_producer(self) -> Producer:
        producer = make_producer(self._settings, **{"transactional.id": f"feed-{uuid.uuid4().hex}"})
        producer.init_transactions(60)
        return producer

    def _send(self, number: int) -> None:
        topics, send = self._topics, self._produce
        send(topics.comparisons, COMPARISONS.encode(comparison(number, source_topic=self._name)))
        if number % 5 == 0:
            send(topics.errors, ERRORS.encode(error(number, source_topic=self._name)))
        if number % 7 == 0:
            send(topics.labels, LABELS.encode(label(number)))
        if number % 11 == 0:
            send(topics.ledger, LEDGER.encode(entry(number)))
        if number % 13 == 0:
            whole = COMPARISONS.encode(comparison(number))
            send(topics.comparisons, (b"none of ours", whole[:-3], whole + b"more", b"")[number % 4])
        if number % 31 == 0:
            send(topics.errors, ERRORS.encode(error(number, model="../up")))

    def _produce(self, topic: str, value: bytes) -> None:
        """Under a key, as it is what spreads them over the partitions, and compacted topics want one."""
        self._producer.produce(topic, value, f"{self._chance.random()}")
        self._producer.poll(0)


def comparison(number: int, **changes: object) -> ShadowComparison:
    """One of a kind: the number tells what is in it, the source's topic whose number it is."""
    features = Features.of({"amount": number / 3, "count": number, "country": "DÉ", "new": number % 2 == 0})
    given: dict[str, object] = {
        "request_id": f"request-{number}",
        "event_time": NOON - timedelta(hours=7 * (number % 6), microseconds=number),
        "model": "fraud" if number % 4 else "ranker",
        "shadow": "boosting-2",
        "source_topic": "requests",
        "source_partition": number % 3,
        "source_offset": number,
        "segments": {"country": "DE", "n": f"{number % 3}"} if number % 3 else {},
        "primary_prediction": Prediction(score=number / 7),
        "shadow_prediction": Prediction(score=math.nan if number % 17 == 0 else -number / 7),
        "agreement": number % 2 == 0,
        "difference": math.inf if number % 19 == 0 else number / 11,
        "comparator": "score:0.05",
        "primary_latency_ms": None if number % 5 == 0 else number / 13,
        "shadow_latency_ms": number / 17,
        "replay_lag_ms": number * 1.5,
        "missing_features": ["age"] if number % 6 == 0 else [],
        "features": None if number % 2 == 0 else features,
    }
    return ShadowComparison(**(given | changes))  # type: ignore[arg-type]


def error(number: int, **changes: object) -> ShadowError:
    """One of a kind; some know no time but that of the failure."""
    given: dict[str, object] = {
        "request_id": None if number % 2 else f"request-{number}",
        "event_time": None if number % 2 else NOON - timedelta(days=number % 3),
        "model": "fraud",
        "shadow": "boosting-2",
        "source_topic": "requests",
        "source_partition": number % 3,
        "source_offset": number,
        "stage": "predict",
        "error_type": "KeyError",
        "message": f"no history for {number}",
        "failed_at": NOON + timedelta(seconds=number),
    }
    return ShadowError(**(given | changes))  # type: ignore[arg-type]


def label(number: int) -> ProductionLabel:
    """One of a kind."""
    return ProductionLabel(
        request_id=f"request-{number}",
        model="fraud",
        label=Prediction(label=f"{number % 2 == 0}", score=0.5),
        observed_at=NOON + timedelta(days=number % 4),
    )


def entry(number: int) -> LedgerEntry:
    """One of a kind."""
    return LedgerEntry(
        producer_id=f"hook-{number}",
        model="fraud",
        started_at=NOON,
        recorded_at=NOON + timedelta(hours=number),
        observed=number,
        dropped={"full": number},
    )
