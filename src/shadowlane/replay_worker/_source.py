"""Where a live worker reads: its share of the group's partitions, from where the group left them.

Callbacks of the group run only inside `consume()`, in the loop's own thread: a batch that is under way
keeps its partitions until it is committed or given up. Where the group has taken them away meanwhile,
its generation has moved on and Kafka refuses the batch's transaction whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event as Flag
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from shadowlane.errors import KafkaFailedError
from shadowlane.kafka import close_consumer, make_consumer, mapped, place_of, to_error
from shadowlane.replay_worker._membership import membership, usable
from shadowlane.replay_worker._outbox import MovedOnError
from shadowlane.replay_worker._patience import raise_or_say
from shadowlane.replay_worker._plan import Start, WorkerPlan
from shadowlane.replay_worker._replay import Outcome
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

# `consume(n, t)` waits the whole t unless n messages came: short enough that nobody waits for results.
_POLL_SECONDS = 0.05
_TIMEOUT = 30.0
# Between two tries a worker that was told to stop gets to leave.
_TRY_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_NOT_KNOWN_YET = {"_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"}
Spot = tuple[str | None, int | None]


class LiveSource:
    """A member of the group that shares the live work."""

    def __init__(self, plan: WorkerPlan, kafka: KafkaSettings, topic: str, stop: Flag) -> None:
        self._stop, self._start = stop, plan.start
        self._group = kafka.topic_prefix + plan.target.group
        #: Partitions of ours whose position is to be found anew, and whether we had one before.
        self._adrift: dict[Spot, bool] = {}
        self._gone: set[Spot] = set()
        #: Requests that retention deleted before they were read.
        self.lost = 0
        self._consumer = make_consumer(usable(kafka, plan), self._group, **membership(kafka, plan))
        with mapped("asking for the topic's partitions"):
            self._partitions = len(self._consumer.list_topics(topic, _TIMEOUT).topics[topic].partitions)
        self._has_joined = False
        self._consumer.subscribe(
            [topic], on_assign=self._joined, on_revoke=self._let_go, on_lost=self._let_go
        )

    @property
    def finished(self) -> bool:
        """Live traffic has no end."""
        return False

    def take(self, size: int) -> list[Message]:
        """The next messages, so many at most; perhaps none yet."""
        if self._adrift:
            self._find()
        unusable = set(self._adrift)
        self._gone.clear()
        with mapped("reading requests"):
            messages = self._consumer.consume(size, _POLL_SECONDS)
        if self._gone:  # the group took partitions away, perhaps after their messages were collected
            unusable |= self._gone
            self._adrift |= dict.fromkeys(self._gone & _spots(self._consumer.assignment()), True)
        if unusable:
            messages = [message for message in messages if _spot(message) not in unusable]
        return [message for message in messages if message.error() is None or self._heed(message)]

    def waiting(self) -> dict[int, int | None] | None:
        """How many messages wait in each of our partitions (None: not known yet); None: none was given yet.

        Nobody is asked: the client keeps the ends of what it fetches.
        """
        ours = self._consumer.assignment()
        if not ours and not self._has_joined:
            return None
        places = self._consumer.position(ours)
        ends = [self._consumer.get_watermark_offsets(each, cached=True)[1] for each in ours]
        return {
            place.partition: max(0, end - place.offset) if min(place.offset, end) >= 0 else None
            for place, end in zip(places, ends, strict=True)
        }

    def offsets(self, taken: Sequence[Message], _outcome: Outcome) -> list[TopicPartition]:
        """Where reading goes on once these are dealt with."""
        return next_offsets(taken)

    def group(self) -> Any:
        """Under which membership the offsets move.

        Raises:
            MovedOnError: the group has thrown us out; Kafka would take offsets from nobody, unchecked.
        """
        membership = self._consumer.consumer_group_metadata()
        if not self._consumer.memberid():
            raise MovedOnError("the group went on without this worker; what was under way is done again")
        return membership

    def go_back(self, rest: Sequence[Message]) -> None:
        """Read these again, next time: they were taken, but are not dealt with."""
        self._adrift |= dict.fromkeys(map(_spot, rest), True)

    def rewind(self, batch: Sequence[Message]) -> None:
        """Go back to the last commit, be it before this batch or, where that came through after all, behind.

        Only the broker knows which: until it has said so, nothing of these partitions is read.
        """
        self.go_back(batch)

    def close(self) -> None:
        """Leave the group: the others have our partitions at once."""
        with mapped("leaving the group"):
            close_consumer(self._consumer)

    def _let_go(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """These are another worker's now; should they come back, it is with a position from the commit."""
        self._gone |= _spots(partitions)
        for spot in _spots(partitions):
            self._adrift.pop(spot, None)

    def _heed(self, message: Message) -> bool:
        """Do what an error asks for, and leave it out."""
        error = message.error()
        name = error.name() if error is not None else ""
        if name == "_AUTO_OFFSET_RESET":
            self._adrift.setdefault(_spot(message), message.offset() is not None)
        elif name == "_MAX_POLL_EXCEEDED":
            log.warning("a batch outlasted the group's patience; joining it again")
        elif error is not None:
            raise_or_say(to_error(error, "reading requests"), fatal=error.fatal())
        return False

    def _joined(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._has_joined = True
        _say(_consumer, partitions)

    def _find(self) -> None:
        """Go to where each partition is to be read on; one that cannot be asked for now is tried again."""
        ours = _spots(self._consumer.assignment())
        try:
            for spot, had_position in list(self._adrift.items()):
                if spot in ours:
                    self._place(spot, had_position=had_position)
                del self._adrift[spot]
        except KafkaException as failure:
            error = failure.args[0]
            if error.name() in _NOT_KNOWN_YET:  # the client asks the broker anew after it was away
                log.warning("looking for where to read on: %s; trying again", error.str())
            else:
                raise_or_say(to_error(error, "looking for where to read on"), fatal=error.fatal())
            self._stop.wait(_AGAIN_SECONDS)

    def _place(self, spot: Spot, *, had_position: bool) -> None:
        here = TopicPartition(spot[0] or "", spot[1] or 0)
        (committed,) = self._consumer.committed([here], timeout=_TRY_SECONDS)
        if committed.error is not None:
            raise KafkaException(committed.error)
        first, end = self._consumer.get_watermark_offsets(here, timeout=_TRY_SECONDS)
        if committed.offset > end:
            raise KafkaFailedError(_cut_short(spot, committed.offset, end, self._group))
        # What comes to a partition that is added while we run is new, however late we find it.
        start = self._start if here.partition < self._partitions else "earliest"
        here.offset, lost, words = where_to_read(
            start, committed.offset, first, end, had_position=had_position
        )
        if words:
            log.log(logging.INFO if not had_position else logging.ERROR, "%s[%d]: %s", *spot, words)
        if lost:
            log.error(
                "%s[%d]: retention deleted %d requests before they were read (%d to %d); going on after them",
                *(*spot, lost, committed.offset, first - 1),
            )
        if here.offset != committed.offset:  # for good: whoever comes next neither counts nor chooses again
            self._consumer.commit(offsets=[here], asynchronous=False)
        self.lost += lost
        _go(self._consumer, here)


def where_to_read(
    start: Start, committed: int, first: int, end: int, *, had_position: bool
) -> tuple[int, int, str]:
    """The offset to read on at, how many requests are lost before it, and what is to be said of it."""
    if committed < 0 and had_position:
        # Kafka forgets a topic's commits when it deletes the topic.
        return first, 0, f"no commit any more: the topic was made again; going on at its beginning, {first}"
    if committed < 0:
        where = ("end", end) if start == "latest" else ("beginning", first)
        return where[1], 0, "no commit yet; starting at its {}, {}".format(*where)
    return max(committed, first), max(0, first - committed), ""


def next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """For each partition of the messages, the offset after its last one."""
    last = {(message.topic(), message.partition()): message for message in messages}
    places = [place_of(message) for message in last.values()]
    return [TopicPartition(place.topic, place.partition, place.offset + 1) for place in places]


def _cut_short(spot: Spot, committed: int, end: int, group: str) -> str:
    return (
        f"{spot[0]}[{spot[1]}] ends at {end}, but the group {group} has committed {committed}: the topic was "
        "made again, or cut short. Nothing is read before you decide: give this work another --run, "
        "or reset the group's offsets (kafka-consumer-groups --reset-offsets)"
    )


def _go(consumer: Consumer, here: TopicPartition) -> None:
    try:
        consumer.seek(here)
    except KafkaException as failure:
        if failure.args[0].name() != "_STATE":
            raise
        # After a position that the broker refused nothing is fetched any more, and nobody can seek.
        consumer.incremental_unassign([here])
        consumer.incremental_assign([here])


def _say(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """A partition starts where the group left it; without a commit, an error of `consume()` asks for one."""
    if partitions:
        log.info("joined by partitions %s", ", ".join(str(each.partition) for each in partitions))


def _spot(message: Message) -> Spot:
    return message.topic(), message.partition()


def _spots(partitions: Sequence[TopicPartition]) -> set[Spot]:
    return {(each.topic, each.partition) for each in partitions}
