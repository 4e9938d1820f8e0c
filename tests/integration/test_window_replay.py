"""A window of time on a real Kafka: exactly its requests, once, whatever lies around them or is killed."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Message, Producer, TopicPartition

from shadowlane.errors import FencedError, ModelError, SettingsError
from shadowlane.kafka import KafkaSettings, TopicNames, make_admin, make_consumer, make_producer
from shadowlane.replay_worker import Target, WorkerPlan, run_worker
from shadowlane.replay_worker.window import How, Speed, Summary, Window, estimate_replay, run_replay
from shadowlane.replay_worker.window._bounded import Share
from shadowlane.replay_worker.window._slices import Slice
from shadowlane.replay_worker.window._source import WindowSource
from tests_support import request
from windows import (
    CODEC,
    INSIDE,
    MINUTE,
    MODEL,
    START,
    WINDOW,
    assert_exactly,
    command,
    committed,
    delete,
    done,
    has_moved,
    plan,
    publish,
    replay,
    send,
    set_when_moving,
    values_in,
    wait_until,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a model in it; processes start there."""
    (tmp_path / "window_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "window_model", raising=False)
    return tmp_path


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[Producer]:
    """One that keeps the order of what it sends."""
    made = make_producer(settings, **{"enable.idempotence": True})
    yield made
    made.flush(30)


def test_exactly_the_requests_of_the_window_are_replayed(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """By event time, the start included and the end not; other models and other times are counted."""
    publish(producer, topics, range(66))
    publish(producer, topics, range(60, 70), model="ranker")
    send(producer, topics, 0, b"not ours", START + 70 * MINUTE)
    send(producer, topics, 0, b"not ours", START + 5 * MINUTE)
    publish(producer, topics, range(66, 200))
    summary = replay(settings, plan())
    left = done(settings)
    assert {int(each.rpartition("-")[2]) for each in left.compared} == {n for n in INSIDE if n % 10 != 3}
    assert Counter(error.stage for error in left.errors) == {"predict": 6, "decode": 1}
    assert set(left.places.values()) == {1}
    counts = summary.progress.counts
    assert (counts.compared, counts.errors, counts.others) == (54, {"predict": 6, "decode": 1}, 10)
    assert counts.requests + counts.others + counts.outside == summary.progress.total
    assert (summary.finished, summary.already, list(summary.clipped)) == (True, False, [])
    assert (summary.progress.done, summary.covered) == (summary.progress.total, WINDOW.times)


def test_a_window_equals_a_live_run_over_the_same_requests(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Answer by answer; and the live run's offsets are where they were."""
    publish(producer, topics, range(200))
    live, stop = replace(plan(), target=Target("fraud", "boosting-2")), Event()
    run_worker(
        live, settings, "w", stop=stop, tick=lambda tally: stop.set() if tally.requests == 200 else None
    )
    before = committed(settings, live.target.group)
    replay(settings, plan())
    assert committed(settings, live.target.group) == before
    ours, theirs = done(settings), done(settings, "live")
    assert ours.places == Counter({place: 1 for place in ours.places if theirs.places[place]})
    assert len(ours.compared) == 54
    for request_id, each in ours.compared.items():
        for name in ("agreement", "difference", "shadow_prediction", "primary_prediction", "source_offset"):
            assert getattr(each, name) == getattr(theirs.compared[request_id], name), name


def test_aborted_transactions_and_empty_partitions_end_too(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """The window's last offsets are aborted, one partition is empty, and a transaction is still open."""
    publish(producer, topics, range(130), partitions=(0, 1))
    with transactional(settings) as sender:
        for number in range(70, 80):
            sender.begin_transaction()
            publish(sender, topics, range(number, number + 1), partitions=(0, 1), request_id="aborted-0")
            sender.abort_transaction()
        sender.begin_transaction()
        publish(sender, topics, range(80, 90), partitions=(0, 1), request_id="open-0")
        to_the_end = Window.parse((START + 60 * MINUTE).isoformat(), "now")
        summary = replay(settings, plan(), to_the_end)
        sender.abort_transaction()
    assert_exactly(done(settings), set(range(60, 130)))
    assert (summary.finished, summary.progress.done) == (True, summary.progress.total)
    assert replay(settings, plan(), to_the_end).already


def test_late_requests_and_a_clock_ahead_do_not_cut_the_window(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """A request that came minutes late is in; one message from the future does not end a partition early."""
    publish(producer, topics, range(100))
    ahead = request(999, event_time=START + 290 * MINUTE)
    send(producer, topics, 0, CODEC.encode(ahead), ahead.event_time)
    publish(producer, topics, range(100, 118))
    publish(producer, topics, range(120, 126))
    publish(producer, topics, range(118, 120))
    publish(producer, topics, range(126, 290))
    replay(settings, plan(), how=How(margin=7 * MINUTE))
    assert_exactly(done(settings), INSIDE)


def test_what_retention_deleted_is_said(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """The window begins before the earliest that is there: it ends, and says from when on it is complete."""
    publish(producer, topics, range(200))
    delete(settings, topics, {0: 30})  # every third minute: up to minute 90
    summary = replay(settings, plan())
    assert_exactly(done(settings), {number for number in INSIDE if number % 3 or number >= 90})
    (said,) = summary.clipped
    assert "1 of 3 partitions begin later" in said
    assert summary.covered.start == START + 90 * MINUTE


def test_a_window_before_all_that_is_there_ends_with_nothing(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """All of its requests are deleted: nothing is replayed, and it says so."""
    publish(producer, topics, range(200))
    delete(settings, topics, {0: -1, 1: -1, 2: 60})
    summary = replay(settings, plan())
    assert (summary.finished, summary.progress.counts.requests) == (True, 0)
    assert any("begin later" in each for each in summary.clipped)
    assert any("2 of 3 partitions hold nothing any more" in each for each in summary.clipped)


def test_a_window_in_the_future_ends_with_nothing_and_binds_nobody(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """It says so; the name stays free, as there may be something another day."""
    publish(producer, topics, range(10))
    soon = datetime.now(UTC) + MINUTE
    summary = replay(settings, plan(), Window.parse(soon.isoformat(), (soon + MINUTE).isoformat()))
    assert not summary.finished
    assert "in the future" in summary.clipped[0]
    assert replay(settings, plan(), Window.parse(START.isoformat(), "now")).progress.counts.requests == 10


def test_offsets_bound_a_window_as_well(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """By partition, whatever the times; a partition that is not there is an error."""
    publish(producer, topics, range(90))
    summary = replay(settings, plan(), Window.parse("@0:5,2:28", "@0:7,2:99"))
    assert done(settings).places == Counter({(0, 5): 1, (0, 6): 1, (2, 28): 1, (2, 29): 1})
    assert "1 of 2 partitions end before that" in summary.clipped[0]
    with pytest.raises(SettingsError, match="has no partition 9; it has 3"):
        replay(settings, plan(run="other"), Window.parse("@9:5", "@9:7"))


def test_a_finished_run_is_done_already_and_its_name_is_taken(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Once more: nothing twice, the same counts. Another window under the name: an error that says which."""
    publish(producer, topics, range(200))
    first, again = replay(settings, plan()), replay(settings, plan())
    assert (again.already, again.finished) == (True, True)
    assert again.progress.counts == first.progress.counts
    assert_exactly(done(settings), INSIDE)
    with pytest.raises(SettingsError, match=r"run 'w' covers .* choose another name"):
        replay(settings, plan(), Window.parse("-1d", "now"))
    with pytest.raises(SettingsError, match="another URI"):
        replay(settings, plan("clock"))


def test_a_run_that_never_got_anywhere_does_not_bind(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """A model that cannot be loaded: with the right one, and another window, the name is free."""
    publish(producer, topics, range(200))
    with pytest.raises(ModelError):
        replay(settings, plan("absent"), Window.parse("-1d", "now"))
    replay(settings, plan())
    assert_exactly(done(settings), INSIDE)


def test_what_a_user_chose_for_groups_does_not_matter(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """A window's readers are members of none: where it begins and how its offsets move stay as they are."""
    publish(producer, topics, range(200))
    client = {"auto.offset.reset": "latest", "group.protocol": "consumer", "group.instance.id": "mine"}
    replay(replace(settings, client=client), plan())
    assert_exactly(done(settings), INSIDE)


def test_the_live_run_is_nobodys_window(settings: KafkaSettings) -> None:
    """Its group is that of live workers."""
    with pytest.raises(SettingsError, match="run 'live' is that of `shadowlane worker`"):
        replay(settings, plan(run="live"))


def test_two_processes_replay_each_request_once(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """The partitions are shared out; one worker that is killed by its model is started again and goes on."""
    publish(producer, topics, range(200))
    summary = replay(settings, plan("dies_once"), Window.parse("@0", "now"), How(processes=2))
    assert Path("died").exists()
    assert_exactly(done(settings), set(range(200)))
    assert summary.progress.counts.compared == 200


def test_a_worker_that_gives_up_ends_the_replay_with_its_reason(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """A model that one of two processes cannot load is the same error as with one."""
    publish(producer, topics, range(200))
    with pytest.raises(ModelError, match="absent"):
        replay(settings, plan("absent"), how=How(processes=2))


def test_a_model_sees_the_time_of_the_request(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Not the replay's own clock."""
    publish(producer, topics, range(100))
    replay(settings, plan("clock"))
    for each in done(settings).compared.values():
        assert each.shadow_prediction.label == each.event_time.isoformat()


def test_requests_that_retention_took_during_the_run_are_counted(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Interrupted, and when it goes on some of it is gone: lost, said, and it ends."""
    publish(producer, topics, range(200))
    stopped = interrupted(settings, plan(), after=10)
    before = stopped.progress.counts.requests
    assert 10 <= before < 60
    left = set(range(114, 120)) - done(settings).requests
    delete(settings, topics, {0: 38, 1: 38, 2: 38})  # up to minute 114
    summary = replay(settings, plan())
    counts = summary.progress.counts
    assert counts.requests == before + len(left)
    assert counts.requests + counts.outside + counts.others + counts.lost == summary.progress.total
    assert counts.lost > 0


def test_waiting_for_the_pace_ends_when_told_to_stop_and_goes_on_later(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """At the original pace an hour takes an hour; told to stop it leaves; at another speed it goes on."""
    publish(producer, topics, range(200))
    stop, seen = Event(), Event()
    begun: list[Summary] = []

    def run() -> None:
        pace = How(Speed.parse("original"))
        begun.append(run_replay(plan(), WINDOW, settings, pace, stop=stop, follow=lambda _: seen.set()))

    thread = Thread(target=run)
    thread.start()
    assert seen.wait(60)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert not begun[0].finished
    replay(settings, plan(), how=How(Speed.parse("100000x"), processes=2))
    assert_exactly(done(settings), INSIDE)


def test_a_second_start_takes_over_from_the_first(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Whoever starts the same run later has it; the other is told, and no request is there twice."""
    publish(producer, topics, range(2000), minute=MINUTE / 10)
    moved, failures = Event(), []

    def first() -> None:
        try:
            slow = How(Speed.parse("200/s"))
            run_replay(
                plan(), WINDOW, settings, slow, stop=Event(),
                follow=lambda now: moved.set() if now.counts.requests > 20 else None,
            )  # fmt: skip
        except FencedError as fenced:
            failures.append(fenced)

    thread = Thread(target=first)
    thread.start()
    assert moved.wait(60)
    replay(settings, plan())
    thread.join(60)
    assert len(failures) == 1
    assert_exactly(done(settings), set(range(600, 1200)))


def test_a_mistyped_window_disturbs_nobody(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Refused while another start of the run is at work, which goes on to its end."""
    publish(producer, topics, range(200))
    moved = Event()
    summaries: list[Summary] = []

    def run() -> None:
        pace = How(Speed.parse("20/s"))
        follow = partial(set_when_moving, moved)
        summaries.append(run_replay(plan(), WINDOW, settings, pace, stop=Event(), follow=follow))

    thread = Thread(target=run)
    thread.start()
    assert moved.wait(60)
    with pytest.raises(SettingsError, match="covers"):
        replay(settings, plan(), Window.parse("-1d", "now"))
    thread.join(60)
    assert summaries[0].finished
    assert_exactly(done(settings), INSIDE)


def test_a_run_whose_plan_kafka_has_forgotten_is_refused(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Nobody knows its window any more: another name, rather than a guess that doubles requests."""
    publish(producer, topics, range(200))
    replay(settings, plan())
    admin = make_admin(settings)
    for future in admin.delete_consumer_groups(
        [f"{settings.topic_prefix}{plan().target.group}:plan"]
    ).values():
        future.result()
    with pytest.raises(SettingsError, match="Kafka has forgotten"):
        replay(settings, plan())


@pytest.mark.parametrize("speed", ["max", "1000000x"])
def test_what_was_taken_and_not_settled_is_handed_out_again(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, speed: str
) -> None:
    """The rest of a batch that was cut comes next; what failed comes again from the last commit on."""
    publish(producer, topics, range(90))
    slices = tuple(Slice(partition, 10, 30) for partition in range(3))
    origin = int(START.timestamp() * 1000)
    group = f"{settings.topic_prefix}{plan().target.group}"
    source = WindowSource(
        Share(0, slices, Speed.parse(speed), origin), settings, group, topics.requests, Event()
    )
    with closing(source):
        first = drained(source)
        assert (len(first), source.finished) == (60, True)
        source.go_back(first[20:])
        assert not source.finished
        assert [message.offset() for message in source.take(40)] == [each.offset() for each in first[20:]]
        with closing(make_consumer(settings, group)) as other:
            other.commit(offsets=[TopicPartition(topics.requests, 1, 25)], asynchronous=False)
        source.rewind(first)
        assert not source.finished
        again = Counter(message.partition() for message in drained(source))
        assert again == {0: 20, 1: 5, 2: 20}
        assert {each: position.offset for each, position in source.reached.items()} == {0: 30, 1: 30, 2: 30}


def drained(source: WindowSource) -> list[Message]:
    """All that it hands out."""
    found: list[Message] = []
    while not source.finished:
        found += source.take(1000)
    return found


def test_a_dry_run_estimates_and_writes_nothing(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """The count is near, the failures are found, and neither topics nor groups hold anything new."""
    publish(producer, topics, range(200))
    publish(producer, topics, range(200), model="ranker")
    estimate = estimate_replay(plan(), WINDOW, settings, How(), stop=Event())
    assert estimate.requests == pytest.approx(60, abs=15)
    assert estimate.sample.failed == pytest.approx(estimate.sample.asked / 10, abs=3)
    assert estimate.seconds is not None
    assert estimate.bytes is not None
    assert 0 < estimate.seconds < 10
    assert 54 * 100 < estimate.bytes < 54 * 3000
    left = done(settings)
    assert (left.places, values_in(settings, topics.ledger)) == (Counter(), [])
    group = plan().target.group
    assert committed(settings, group) == committed(settings, f"{group}:plan") == {}


@pytest.mark.timeout(300)
def test_killed_at_any_moment_and_run_again_each_request_is_there_once(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, folder: Path
) -> None:
    """Kill -9 of the command and its workers: the same command goes on, with as many processes or others."""
    publish(producer, topics, range(4000), minute=MINUTE / 20)
    chance = random.Random(7)  # noqa: S311 - not for secrets
    for processes in (1, 3, 2, 1):
        with command(settings, folder, processes) as running:
            moved = partial(has_moved, settings, sum(committed(settings, plan().target.group).values()))
            wait_until(lambda: moved() or running.poll() is not None)  # noqa: B023 - called in this round
            time.sleep(chance.uniform(0, 0.3))
            assert running.poll() is None, "it had ended by itself"
    with command(settings, folder, processes=2) as running:
        assert running.wait(120) == 0
    assert_exactly(done(settings), set(range(1200, 2400)))
    said = json.loads((folder / "replay.json").read_text())
    assert (said["finished"], said["requests"], said["errors"]) == (True, 1200, {"predict": 120})


def interrupted(settings: KafkaSettings, plan: WorkerPlan, after: int) -> Summary:
    """A replay that is told to stop after so many requests."""
    stop = Event()
    return run_replay(
        replace(plan, batch_size=5), WINDOW, settings, How(Speed.parse("20/s")), stop=stop,
        follow=lambda now: stop.set() if now.counts.requests >= after else None,
    )  # fmt: skip


@contextmanager
def transactional(settings: KafkaSettings) -> Iterator[Producer]:
    """A producer of transactions."""
    producer = make_producer(settings, **{"transactional.id": f"{settings.topic_prefix}aborts"})
    producer.init_transactions(30)
    yield producer
