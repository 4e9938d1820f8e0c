"""A label job: publishes what turned out to be true, as CSV lines come in on standard input.

Run a Kafka (`shadowlane kafka start`, `shadowlane topics create`), then

    echo request-1,fraud,2026-03-01T12:00:00+00:00 | python examples/publish_labels.py

Needs no extra. `shadowlane aggregate` lands the labels; one that is published twice counts once.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from datetime import datetime

from shadowlane.kafka import TopicNames, make_producer
from shadowlane.schemas import Codec, Prediction, ProductionLabel
from shadowlane.settings import KafkaSettings, Settings


def publish_labels(kafka: KafkaSettings, labels: Iterable[ProductionLabel]) -> None:
    """Return once Kafka has all of them; raise where it has not, and publish them again then."""
    codec, topic, failed = Codec(ProductionLabel), TopicNames(kafka.topic_prefix).labels, []
    producer = make_producer(kafka)
    for label in labels:
        while True:
            try:
                producer.produce(
                    topic,
                    codec.encode(label),
                    key=label.request_id,  # the labels of one request stay in order
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
                break
            except BufferError:  # what is sent but not confirmed yet has a limit
                producer.poll(1)
        producer.poll(0)
    left = producer.flush(60)
    if failed or left:
        raise SystemExit(f"{len(failed) + left} labels did not arrive; the first error: {failed[:1]}")


if __name__ == "__main__":
    publish_labels(
        Settings.load().kafka,
        (
            ProductionLabel(
                request_id=request_id,
                model="fraud",
                label=Prediction.of(outcome),
                observed_at=datetime.fromisoformat(observed_at),
                source="chargebacks",
            )
            for request_id, outcome, observed_at in csv.reader(sys.stdin)
        ),
    )
