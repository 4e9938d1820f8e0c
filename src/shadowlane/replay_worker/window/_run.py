"""Replay a window: settle what it covers, share it out, follow the workers, say what it came to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from threading import Event as Flag
from time import monotonic

from shadowlane.errors import SettingsError
from shadowlane.kafka import TopicNames, require_topics
from shadowlane.process import Heartbeat
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker.window._bounded import Held, Share, transactional_id
from shadowlane.replay_worker.window._how import How
from shadowlane.replay_worker.window._progress import Progress, progress
from shadowlane.replay_worker.window._record import Position, Record, RunStore
from shadowlane.replay_worker.window._slices import Slice, Topic
from shadowlane.replay_worker.window._summary import Summary, clipped
from shadowlane.replay_worker.window._supply import Supply
from shadowlane.replay_worker.window._times import Window
from shadowlane.replay_worker.window._workers import Reached, replay_share, replay_shares
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_OF_GROUPS = {"auto.offset.reset", "group.protocol", "group.instance.id", "partition.assignment.strategy"}
Follow = Callable[[Progress], None]


def run_replay(
    plan: WorkerPlan,
    window: Window,
    kafka: KafkaSettings,
    how: How = How(),  # noqa: B008 - frozen
    *,
    stop: Flag,
    follow: Follow = lambda _: None,
) -> Summary:
    """Replay the requests of a window, to its end or until told to stop; called again, it goes on.

    Raises:
        SettingsError: the run's name is another window's.
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: the same run was started once more.
    """
    kafka = without_group(kafka)
    with opened(plan, kafka, stop) as (topic, store):
        end_what_is_open = partial(_end_what_is_open, plan, kafka)
        supply = Supply(plan, how, topic)
        record, reached, days = settle(plan, window, how, store, supply, topic.partitions(), end_what_is_open)
        is_done, follower = record.is_done(reached), _Follower(record, reached, follow)
        already = is_done and follower.progress.total > 0
        # Of a window that begins in the future nothing is kept: later there will be something in it.
        if not is_done and not record.is_ahead:
            record = supply.readable(record)
            store.write(replace(record, processes=how.processes))
            shares = _shares(record, reached, how, supply)
            _work(replace(plan, window=record.times), kafka, shares, stop, follower)
            if record.is_done(follower.reached):
                store.finish(record, follower.reached)
        is_done = record.is_done(follower.reached) and not record.is_ahead
        said = clipped(window, record)
        return Summary(plan.target, record, follower.progress, said, is_done, already, days)


def without_group(kafka: KafkaSettings) -> KafkaSettings:
    """The settings without what the user has chosen for members of groups: a window's readers are none."""
    client = {name: value for name, value in kafka.client.items() if name not in _OF_GROUPS}
    return replace(kafka, client=client)


@contextmanager
def opened(plan: WorkerPlan, kafka: KafkaSettings, stop: Flag) -> Iterator[tuple[Topic, RunStore]]:
    """The topic of the requests, and what Kafka keeps of the run."""
    if plan.target.run == "live":
        raise SettingsError("run 'live' is that of `shadowlane worker`: choose another name with --run")
    topics = TopicNames(kafka.topic_prefix)
    require_topics(kafka, [topics.requests, topics.comparisons, topics.errors, topics.ledger], stop)
    place = (kafka, topics.prefix + plan.target.group, topics.requests)
    with closing(Topic(*place)) as topic, closing(RunStore(*place)) as store:
        yield topic, store


def settle(
    plan: WorkerPlan,
    window: Window,
    how: How,
    store: RunStore,
    supply: Supply,
    partitions: Sequence[int],
    end_what_is_open: Callable[[int], None] = lambda _processes: None,
) -> tuple[Record, dict[int, Position], Mapping[date, int]]:
    """What the run covers, how far it is, and how many requests of each day the lake has, for a new one.

    A record under which nothing was replayed does not bind.
    """
    record = store.read(plan.target.run, partitions)
    if record is not None:
        objection = record.objection(plan, window) or supply.objection(record)
        if objection and store.has_begun(record):  # before anybody is disturbed who is at it
            raise SettingsError(objection)
        end_what_is_open(record.processes)
        if store.has_begun(record):
            if objection:
                raise SettingsError(objection)
            return record, store.positions(record), {}
    found = supply.settle(window)
    record = Record.settle(plan, window, found.slices, how.processes, datetime.now(UTC), found.lake)
    return record, {each.partition: Position(each.start) for each in record.slices}, found.days


def _end_what_is_open(plan: WorkerPlan, kafka: KafkaSettings, processes: int) -> None:
    """Workers of an earlier start must not go on: what they have begun is aborted, and they are fenced."""
    group = kafka.topic_prefix + plan.target.group
    for number in range(processes):
        Outbox(kafka, transactional_id(group, number)).close()


def _shares(record: Record, reached: Mapping[int, Position], how: How, supply: Supply) -> list[Share]:
    """What is left, in parts of about the same size."""
    left = {each: each.end - reached[each.partition].offset for each in record.slices}
    rest = sorted((each for each in record.slices if left[each] > 0), key=lambda each: -left[each])
    parts: list[list[Slice]] = [[] for _ in range(min(how.processes, len(rest)))]
    for each in rest:
        min(parts, key=lambda part: sum(map(left.__getitem__, part))).append(each)
    origin = supply.origin(record, rest, reached) if how.speed.kind == "original" else 0
    held = None if record.lake is None else Held(how.lake, record.lake.version)
    total = sum(left.values())
    return [
        Share(
            number,
            tuple(part),
            how.speed.share(sum(map(left.__getitem__, part)) / total),
            origin,
            held,
        )
        for number, part in enumerate(parts)
    ]


def _work(
    plan: WorkerPlan, kafka: KafkaSettings, shares: Sequence[Share], stop: Flag, say: _Follower
) -> None:
    now = say.progress
    log.info(
        "run %s: %d of %d messages to read, by %d workers",
        *(plan.target.run, now.total - now.done, now.total, len(shares)),
    )
    if len(shares) == 1:
        replay_share(plan, kafka, shares[0], stop, say)
    else:
        replay_shares(plan, kafka, shares, stop, say)


class _Follower:
    """How far the run is, as the workers tell."""

    def __init__(self, record: Record, reached: Mapping[int, Position], follow: Follow) -> None:
        self._slices, self.reached, self._follow = record.slices, dict(reached), follow
        self._before = progress(record.slices, reached).done
        self._began: float | None = None
        self._heartbeat = Heartbeat()

    def __call__(self, reached: Reached) -> None:
        """A worker says where its partitions are, or somebody that time goes by."""
        if reached and self._began is None:  # from now on the models are loaded
            self._began = monotonic()
        self.reached |= reached
        self._heartbeat.beat()
        self._follow(self.progress)

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        seconds = 0.0 if self._began is None else monotonic() - self._began
        return progress(self._slices, self.reached, seconds, self._before)
