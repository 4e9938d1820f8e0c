"""Where a partition is read on, and for how long the group waits: decisions, without Kafka."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from shadowlane.kafka import KafkaSettings
from shadowlane.replay_worker import Control, Isolation, ModelSource, Target, WorkerPlan
from shadowlane.replay_worker._membership import poll_seconds
from shadowlane.replay_worker._plan import Start
from shadowlane.replay_worker._source import LiveSource, where_to_read

SOURCE = ModelSource("python:models:predict")
NONE = -1001


@pytest.mark.parametrize(
    ("start", "committed", "had_position", "offset", "lost"),
    [
        ("earliest", NONE, False, 10, 0),
        ("latest", NONE, False, 90, 0),
        ("latest", NONE, True, 10, 0),
        ("earliest", NONE, True, 10, 0),
        ("earliest", 40, False, 40, 0),
        ("latest", 40, True, 40, 0),
        ("latest", 90, False, 90, 0),
        ("latest", 0, False, 10, 10),
        ("earliest", 3, True, 10, 7),
        ("earliest", 10, False, 10, 0),
    ],
)
def test_a_commit_is_what_counts_and_what_is_gone_is_lost(
    start: Start, committed: int, had_position: bool, offset: int, lost: int
) -> None:
    """In a partition that holds the offsets 10 to 89."""
    found = where_to_read(start, committed, 10, 90, had_position=had_position)
    assert found[:2] == (offset, lost)
    assert bool(found[2]) == (committed == NONE)


def test_a_partition_that_the_client_does_not_know_yet_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that comes back may leave the client without metadata for a moment: no reason to give up."""
    known = SimpleNamespace(topics={"requests": SimpleNamespace(partitions={0: None})})
    idle = SimpleNamespace(
        subscribe=_nothing,
        assignment=_nothing,
        consume=_nothing,
        list_topics=lambda *_args, **_options: known,
    )
    monkeypatch.setattr("shadowlane.replay_worker._source.make_consumer", lambda *_args, **_config: idle)
    source = LiveSource(
        WorkerPlan(Target("m", "s"), SOURCE), KafkaSettings("127.0.0.1:1"), "requests", Event()
    )

    def unknown(_spot: object, *, had_position: bool) -> None:
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))

    monkeypatch.setattr(source, "_place", unknown)
    monkeypatch.setattr("shadowlane.replay_worker._source._AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("shadowlane.replay_worker._source._spots", lambda _partitions: {("requests", 0)})
    source._adrift = {("requests", 0): False}
    assert source.take(10) == []
    assert source._adrift == {("requests", 0): False}
    assert "trying again" in caplog.text


def _nothing(*_args: object, **_options: object) -> list[Message]:
    """A consumer that is given nothing."""
    return []


def test_the_group_waits_longer_than_the_slowest_round() -> None:
    """With the default limits, with longer ones, with more models, and within what Kafka takes."""

    def plan(call: float, load: float, control: Control | None = None) -> WorkerPlan:
        isolation = Isolation(call_seconds=call, load_seconds=load)
        return WorkerPlan(Target("m", "s"), SOURCE, isolation=isolation, control=control)

    assert poll_seconds(plan(1, 1)) == 300
    assert poll_seconds(plan(30, 300)) > 20 + 2 * (30 + 300)
    assert poll_seconds(plan(30, 300, Control(0.1))) > 2 * (20 + 2 * (30 + 300))
    assert poll_seconds(plan(30, float("inf"))) == 86_400
