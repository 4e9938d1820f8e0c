"""The topics of the pipeline: their names, what each needs, making them, checking them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

# They are exported, but not declared so.
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from shadowlane.errors import TopicMissingError
from shadowlane.kafka._clients import connected_admin
from shadowlane.kafka._errors import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from threading import Event

    from confluent_kafka.admin import AdminClient, TopicMetadata  # type: ignore[attr-defined]

    from shadowlane.settings import KafkaSettings

DAY_MS = 24 * 3600 * 1000
FOREVER = -1
MEGABYTE = 1024 * 1024
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names of the six topics, each with the prefix before it."""

    prefix: str = ""

    @property
    def requests(self) -> str:
        """Each production call with the primary's prediction."""
        return f"{self.prefix}production-requests"

    @property
    def comparisons(self) -> str:
        """One request's two predictions side by side."""
        return f"{self.prefix}shadow-comparisons"

    @property
    def errors(self) -> str:
        """The replays that gave no prediction."""
        return f"{self.prefix}shadow-errors"

    @property
    def labels(self) -> str:
        """What turned out to be true."""
        return f"{self.prefix}production-labels"

    @property
    def ledger(self) -> str:
        """Counts of where the requests went."""
        return f"{self.prefix}shadow-ledger"

    @property
    def control(self) -> str:
        """What operators set while services run: the rates of sampling, and the weights of a split."""
        return f"{self.prefix}shadow-control"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be."""

    name: str
    partitions: int
    retention_ms: int = 7 * DAY_MS
    cleanup_policy: str = "delete"
    max_message_bytes: int = MEGABYTE

    def config(self) -> dict[str, str]:
        """The topic's configuration, by Kafka's names."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }


@dataclass(frozen=True, slots=True)
class TopicResult:
    """What became of one topic: made now, or there already."""

    name: str
    created: bool


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """Where a topic is not what its spec says; `what` is `missing`, `partitions` or a topic setting."""

    topic: str
    what: str
    expected: str
    actual: str

    def __str__(self) -> str:
        if self.what == "missing":
            return f"{self.topic} does not exist"
        return f"{self.topic}: {self.what} is {self.actual}, must be {self.expected}"


def default_specs(names: TopicNames, partitions: int = 6) -> list[TopicSpec]:
    """The six topics as the pipeline wants them by default."""
    return [
        # A week is what a historical replay from Kafka can look back on; older windows come from the
        # lake. Requests carry the features, so they may be larger than Kafka's usual 1 MB.
        TopicSpec(names.requests, partitions, 7 * DAY_MS, max_message_bytes=4 * MEGABYTE),
        # Both of these are in the lake within seconds; three days outlast a weekend without an aggregator.
        # An error carries the raw message in base64, a third larger than the message was.
        TopicSpec(names.comparisons, partitions, 3 * DAY_MS, max_message_bytes=8 * MEGABYTE),
        TopicSpec(names.errors, partitions, 7 * DAY_MS, max_message_bytes=8 * MEGABYTE),
        # Labels come late, and are few: a month lets a lake be built anew with them.
        TopicSpec(names.labels, partitions, 30 * DAY_MS),
        TopicSpec(names.ledger, 1, 30 * DAY_MS),
        # The newest settings must never expire; one partition gives all readers the same order.
        TopicSpec(names.control, 1, FOREVER, cleanup_policy="compact"),
    ]


def create_topics(
    settings: KafkaSettings, specs: Sequence[TopicSpec], replication_factor: int | None = None
) -> list[TopicResult]:
    """Create the topics that are not there; those that are there stay as they are."""
    doing = f"creating topics at {settings.bootstrap_servers}"
    admin = connected_admin(settings, doing)
    # -1 lets the broker decide (KIP-464).
    new = [NewTopic(s.name, s.partitions, replication_factor or -1, config=s.config()) for s in specs]
    with mapped(doing):
        futures = admin.create_topics(new, operation_timeout=TIMEOUT, request_timeout=TIMEOUT)
    results = [TopicResult(name, _created(future, f"{doing}: {name}")) for name, future in futures.items()]
    with mapped(doing):
        _wait_until_known(admin, [result.name for result in results if result.created])
    return results


def check_topics(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> list[TopicDifference]:
    """Where the topics are not what the specs say. More partitions than asked are fine."""
    doing = f"reading the topics at {settings.bootstrap_servers}"
    admin = connected_admin(settings, doing)
    with mapped(doing):
        there = {name: len(t.partitions) for name, t in admin.list_topics(timeout=TIMEOUT).topics.items()}
        configs = _read_configs(admin, [spec.name for spec in specs if spec.name in there])
    return [
        difference
        for spec in specs
        for difference in differences(spec, there.get(spec.name), configs.get(spec.name, {}))
    ]


def require_topics(settings: KafkaSettings, names: Sequence[str], stop: Event | None = None) -> None:
    """Find out whether a broker lets us in and has these topics, before any work starts.

    `stop` ends the wait for a broker.

    Raises:
        NotAuthorizedError: the broker does not accept us, or we do not accept its certificate.
        BrokerUnreachableError: none answered in half a minute.
        TopicMissingError: a topic is not there.
    """
    doing = f"looking for the topics at {settings.bootstrap_servers}"
    admin = connected_admin(settings, doing, TIMEOUT, stop)
    with mapped(doing):
        there = admin.list_topics(timeout=TIMEOUT).topics
    for name in names:
        if name not in there:
            raise TopicMissingError(f"topic {name} does not exist; run: shadowlane topics create")


def differences(spec: TopicSpec, partitions: int | None, config: dict[str, str]) -> list[TopicDifference]:
    """One topic's differences; `partitions` is None where it does not exist."""
    if partitions is None:
        return [TopicDifference(spec.name, "missing", "there", "not there")]
    found = []
    if partitions < spec.partitions:
        found.append(TopicDifference(spec.name, "partitions", str(spec.partitions), str(partitions)))
    for what, expected in spec.config().items():
        actual = config.get(what, "unknown")
        if actual != expected:
            found.append(TopicDifference(spec.name, what, expected, actual))
    return found


def _created(future: Future[None], doing: str) -> bool:
    try:
        with mapped(doing):
            future.result()
    except Exception as failure:
        cause = failure.__cause__
        if isinstance(cause, KafkaException) and cause.args[0].name() == "TOPIC_ALREADY_EXISTS":
            return False
        raise
    return True


def _wait_until_known(admin: AdminClient, names: Sequence[str]) -> None:
    """A topic that the controller made reaches the brokers a moment later: until then they deny it."""
    deadline = time.monotonic() + TIMEOUT
    while names and time.monotonic() < deadline:
        there = admin.list_topics(timeout=TIMEOUT).topics
        if all(name in there and _has_leaders(there[name]) for name in names):
            return
        time.sleep(0.05)


def _has_leaders(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(p.leader >= 0 for p in topic.partitions.values())


def _read_configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = admin.describe_configs(asked, request_timeout=TIMEOUT)
    return {
        resource.name: {entry.name: str(entry.value) for entry in future.result().values()}
        for resource, future in answers.items()
    }
