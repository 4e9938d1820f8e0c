"""The demo itself: start everything as real processes, follow the requests through, end everything."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

from confluent_kafka import KafkaException, TopicPartition

from shadowlane.demo.models import MODEL, SHADOW, SHADOW_VERSION
from shadowlane.errors import ShadowlaneError
from shadowlane.kafka import (
    EmbeddedKafka,
    TopicNames,
    create_topics,
    default_specs,
    make_consumer,
)
from shadowlane.lake import count_rows
from shadowlane.replay_worker import Target
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_PARTITIONS = 6
_WORKERS = 2
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 40.0
_STANDSTILL_SECONDS = 120
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Follow:
    """How far the requests have come."""

    total: int
    published: int = 0
    replayed: int = 0
    landed: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo left behind to look at."""

    folder: Path
    lake: Path


class Interrupted(ShadowlaneError):  # noqa: N818 - it is no error of anybody's
    """The demo was told to stop; everything was ended."""


def run_demo(
    requests: int,
    folder: Path,
    *,
    stop: Event,
    say: Callable[[str], None],
    follow: Callable[[Follow], None],
) -> Shown:
    """Run the whole pipeline on this machine, once, and leave a lake to report on.

    Args:
        requests: How many requests the serving process answers.
        folder: Where a new folder for this run is made.
        stop: Ends the demo early when it is set.
        say: Told of each step.
        follow: Told how far the requests are.

    Raises:
        ShadowlaneError: a part failed; the message ends with the last lines of its log.
        Interrupted: `stop` was set.
    """
    here = folder / datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    here.mkdir(parents=True)
    shown = Shown(here, here / "lake")
    with ExitStack() as stack:
        kafka_folder = here / "kafka"
        stack.callback(shutil.rmtree, kafka_folder, ignore_errors=True)
        kafka = stack.enter_context(_kafka(kafka_folder, say, stop))
        settings = KafkaSettings(kafka.bootstrap_servers)
        create_topics(settings, default_specs(TopicNames(), _PARTITIONS))
        say(f"Apache Kafka runs at {kafka.bootstrap_servers}; its six topics are made")
        parts = stack.enter_context(_parts(here, settings, requests))
        say(f"A serving process, {_WORKERS} workers and an aggregator run; {requests:,} requests follow")
        _follow_through(parts, settings, shown.lake, requests, stop=stop, follow=follow)
        say("All is landed; ending the processes")
    return shown


@contextmanager
def _kafka(folder: Path, say: Callable[[str], None], stop: Event) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(folder)
    say("Starting Apache Kafka")
    kafka.start(say)
    try:
        _check(stop)
        yield kafka
    finally:
        kafka.stop()


class _Part:
    """One process of the demo, with its log."""

    def __init__(self, name: str, arguments: list[str], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as out:
            # A session of its own keeps Ctrl-C away: the demo decides in which order things end.
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                start_new_session=True,
            )

    def failed(self) -> bool:
        """Whether it ended, and not well: only the serving process ends by itself."""
        ended = self.process.poll()
        return ended is not None and (ended != 0 or self.name != "service")

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def ask_to_finish(self) -> None:
        """Send SIGTERM: what is under way is finished first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Wait for its end; insist when it does not come."""
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _parts(folder: Path, kafka: KafkaSettings, requests: int) -> Iterator[dict[str, _Part]]:
    """The serving process, the workers and the aggregator; all of them are ended."""
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_LAKE": str(folder / "lake"),
        "SHADOWLANE_LEAVE_WITH_PARENT": str(os.getpid()),
    }
    commands = {
        "aggregator": ["shadowlane", "aggregate", "--flush-seconds", "2"],
        "worker": [
            *("shadowlane", "worker", "--processes", str(_WORKERS)),
            *("--model", MODEL, "--shadow", SHADOW, "--shadow-version", SHADOW_VERSION),
            *("--load", "python:shadowlane.demo.models:Boosting"),
        ],
        "service": ["shadowlane.demo.service", "--requests", str(requests), "--rate", "0"],
    }
    parts: dict[str, _Part] = {}
    try:
        for name, arguments in commands.items():
            parts[name] = _Part(name, arguments, folder, env)
        yield parts
    finally:
        for part in parts.values():
            part.ask_to_finish()
        for part in parts.values():
            part.end()


def _follow_through(
    parts: dict[str, _Part],
    kafka: KafkaSettings,
    lake: Path,
    requests: int,
    *,
    stop: Event,
    follow: Callable[[Follow], None],
) -> None:
    """Watch until each request is a comparison or an error in the lake."""
    before, moved = Follow(requests), time.monotonic()
    with _watching(kafka) as count_moved:
        while True:
            _check(stop)
            for part in parts.values():
                if part.failed():
                    raise ShadowlaneError(f"the {part.name} failed; its log ends with:\n{part.tail()}")
            published, replayed = count_moved()
            rows = count_rows(str(lake), ("comparisons", "errors"))
            now = Follow(requests, published, replayed, rows)
            follow(now)
            if now != before:
                before, moved = now, time.monotonic()
            elif time.monotonic() - moved > _STANDSTILL_SECONDS:
                raise ShadowlaneError(
                    f"nothing has moved for {_STANDSTILL_SECONDS} s; the logs are in {lake.parent}"
                )
            if now.landed >= requests and parts["service"].process.poll() == 0:
                return
            stop.wait(_POLL_SECONDS)


@contextmanager
def _watching(kafka: KafkaSettings) -> Iterator[Callable[[], tuple[int, int]]]:
    """Counts, without taking part: requests in the topic, and how many of them the workers have done."""
    topic = TopicNames().requests
    consumer = make_consumer(kafka, Target(MODEL, SHADOW).group)
    partitions = [TopicPartition(topic, partition) for partition in range(_PARTITIONS)]

    last = (0, 0)

    def count() -> tuple[int, int]:
        nonlocal last
        try:
            published = sum(consumer.get_watermark_offsets(each, timeout=10)[1] for each in partitions)
            done = consumer.committed(partitions, timeout=10)
            last = published, sum(max(0, each.offset) for each in done)
        except KafkaException as failure:  # only a meter: it waits a moment rather than end the demo
            log.debug("counting requests: %s", failure)
        return last

    try:
        yield count
    finally:
        consumer.close()


def _check(stop: Event) -> None:
    if stop.is_set():
        raise Interrupted("stopped; everything the demo started was ended")
