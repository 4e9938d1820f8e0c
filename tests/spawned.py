"""What a spawned process of a test runs: it imports this file by name, and knows nothing of the test's."""

from __future__ import annotations

from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook


def delivered_by_a_hook_of_its_own() -> int:
    """Two requests through a hook that this process made, to a broker inside librdkafka."""
    settings = KafkaSettings(client={"test.mock.num.brokers": "1"})
    with Hook(model="ranker", kafka=settings) as hook:
        for _ in range(2):
            hook.publish(features={"a": 1.0}, prediction=0.5)
        hook.close(timeout=30)
    return hook.stats().delivered
