"""The aggregator on a lake that cannot be written for a while: real disks, full, read-only or failing."""

from __future__ import annotations

import errno
import http.client
import logging
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import ConsumerGroupState

from aggregators import wait_until
from lake_accounting import Judgement, assert_exactly_once, read_log, read_rows, read_topic
from lake_feed import Feed
from shadowlane.aggregator import AggregatorPlan, Landings, run_aggregator
from shadowlane.errors import LakeUnavailableError
from shadowlane.health import Health
from shadowlane.kafka import KafkaSettings, make_admin

Fault = Callable[[Path], AbstractContextManager[None]]

TABLES = ("comparisons", "errors", "labels", "ledger")


def command(*words: str) -> str:
    """Run a command of the system; what it complains of."""
    path = shutil.which(words[0]) or words[0]
    try:
        done = subprocess.run([path, *words[1:]], capture_output=True, text=True, check=False)
    except OSError as missing:
        return str(missing)
    return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""


@contextmanager
def a_disk_of_its_own(folder: Path) -> Iterator[None]:
    """A small one, in memory."""
    folder.mkdir()
    why_not = command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder))
    if why_not:
        pytest.skip(f"nobody may mount a disk here: {why_not}")
    try:
        yield
    finally:
        assert not command("umount", "--lazy", str(folder))


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Something else takes all the room, to the last byte."""
    filler = disk / "somebody-elses"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as failure:
                assert failure.errno == errno.ENOSPC  # noqa: PT017 - what a full disk says is the point
        yield
    filler.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """As the system does when a disk has errors."""
    assert not command("mount", "-o", "remount,ro", str(disk))
    try:
        yield
    finally:
        assert not command("mount", "-o", "remount,rw", str(disk))


@contextmanager
def forbidden(disk: Path) -> Iterator[None]:
    """Nobody may add a commit; nothing but this mark keeps root from it."""
    logs = [str(disk / "lake" / table / "_delta_log") for table in TABLES]
    why_not = command("chattr", "+i", *logs)
    try:
        if why_not:
            pytest.skip(f"a disk in memory knows no such mark here: {why_not}")
        yield
    finally:
        command("chattr", "-i", *logs)


def failing_fsync(of: str) -> Fault:
    """The disk takes what is written and then says that it is lost, of files whose path has this in it."""

    @contextmanager
    def fail(_disk: Path) -> Iterator[None]:
        really = os.fsync

        def lose(descriptor: int) -> None:
            if of in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            really(descriptor)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lose)
            yield

    return fail


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "full": (full, "disk_full", "No space left on device; make room"),
    "read-only": (read_only, "read_only", "Read-only file system"),
    "forbidden": (forbidden, "no_permission", "Operation not permitted; let this user write there"),
    "a file is lost": (failing_fsync(".draft"), "disk_error", "Input/output error; the disk fails"),
    "a commit is lost": (failing_fsync("_delta_log"), "disk_error", "Input/output error; the disk fails"),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk for one lake."""
    folder = tmp_path / "disk"
    with a_disk_of_its_own(folder):
        yield folder


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried after seconds is tried at once."""
    monkeypatch.setattr("shadowlane.aggregator._outage._FIRST_SECONDS", 0.05)
    monkeypatch.setattr("shadowlane.aggregator._outage._MOST_SECONDS", 0.2)


@contextmanager
def running(
    settings: KafkaSettings, lake: Path, port: int | None = None, **plan: float
) -> Iterator[Future[Landings]]:
    """An aggregator beside the test."""
    stop, chosen = Event(), AggregatorPlan(str(lake), flush_seconds=0.2, **plan)  # type: ignore[arg-type]
    health = None if port is None else Health(port)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(run_aggregator, chosen, settings, stop=stop, health=health)
        try:
            yield run
        finally:
            stop.set()
        run.result(60)


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def figure(port: int, name: str, labels: str = "") -> float:
    """One of the metrics; 0 where there is none."""
    found = re.search(
        rf"^shadowlane_aggregator_{name}{re.escape(labels)} (\S+)$", get(port, "/metrics")[1], re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def publish(feed: Feed, settings: KafkaSettings) -> int:
    """Some more of all kinds; how many comparisons the topic holds now."""
    feed.some(40)
    topic = f"{settings.topic_prefix}shadow-comparisons"
    return len(read_topic(settings.bootstrap_servers, topic, "shadow_comparison").events)


def landed(lake: Path) -> int:
    """How many comparisons the table's log lists, each file of it whole."""
    return whole_rows(lake, "comparisons")


def whole_rows(lake: Path, table: str) -> int:
    """How many rows a table's log lists; each of its files is what its name and the log say."""
    if not (lake / table / "_delta_log" / "00000000000000000000.json").exists():
        return 0
    found = Judgement()
    state = read_log(found, lake / table)
    count = sum(1 for _ in read_rows(found, lake / table, state))
    assert not found.faults
    return count


def judge(settings: KafkaSettings, lake: Path) -> None:
    """Every message of every topic is a row once, value by value, and the positions are the topics' ends."""
    run_aggregator(AggregatorPlan(lake, until_caught_up=True), settings, stop=Event())
    assert_exactly_once(settings.bootstrap_servers, lake, settings.topic_prefix, leftovers=True)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_waited_out(
    name: str, disk: Path, settings: KafkaSettings, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It pauses, says why and once, lists nothing partial, and goes on by itself: each message is one row."""
    fault, reason, words = FAULTS[name]
    lake, feed = disk / "lake", Feed(settings)
    first = publish(feed, settings)
    with caplog.at_level(logging.WARNING), running(settings, lake, port):
        wait_until(lambda: landed(lake) == first)
        wait_until(lambda: get(port, "/readyz") == (200, "ok\n"))
        with fault(disk):
            both = publish(feed, settings)
            wait_until(lambda: get(port, "/readyz")[0] == 503)
            assert words in get(port, "/readyz")[1]
            assert figure(port, "paused", f'{{reason="{reason}"}}') == 1
            wait_until(
                lambda: figure(port, "paused_seconds_total", f'{{reason="{reason}"}}') > 1
            )  # several tries
            assert get(port, "/livez") == (200, "ok\n")
            for table in TABLES:
                whole_rows(lake, table)
        wait_until(lambda: landed(lake) == both)
        wait_until(lambda: get(port, "/readyz") == (200, "ok\n"))
        assert figure(port, "pauses_total", f'{{reason="{reason}"}}') == 1
    said = [each.getMessage() for each in caplog.records if each.name.endswith("_outage")]
    assert [each.partition(" ")[0] for each in said] == ["paused:", "going"]
    assert words in said[0]
    judge(settings, lake)


def test_partitions_come_and_go_while_nothing_can_land(
    tmp_path: Path, settings: KafkaSettings, port: int
) -> None:
    """A pause keeps its place in the group, and another aggregator that comes into it lands nothing twice."""
    lake, feed, another = tmp_path / "lake", Feed(settings), free_port()
    admin, group = make_admin(settings), f"{settings.topic_prefix}shadowlane.aggregator"

    def members() -> int:
        found = admin.describe_consumer_groups([group])[group].result()
        holding = [each for each in found.members if each.assignment.topic_partitions]
        return len(holding) if found.state == ConsumerGroupState.STABLE else 0

    first = publish(feed, settings)
    with running(settings, lake, port):
        wait_until(lambda: landed(lake) == first)
        with failing_fsync(".draft")(lake):
            feed.some(40)
            wait_until(lambda: get(port, "/readyz")[0] == 503)
            for _ in range(2):
                with running(settings, lake, another):
                    wait_until(lambda: members() == 2)
                    every = publish(feed, settings)
                    wait_until(lambda: "paused: " in get(another, "/readyz")[1])
                wait_until(lambda: members() == 1)
        wait_until(lambda: landed(lake) == every)
    judge(settings, lake)


def test_who_waits_for_the_end_does_not_wait_for_ever(tmp_path: Path, settings: KafkaSettings) -> None:
    """A fault that stays ends `--until-caught-up` with its reason; the next run lands it all."""
    lake, feed = tmp_path / "lake", Feed(settings)
    run_aggregator(AggregatorPlan(lake, until_caught_up=True), settings, stop=Event())
    count = publish(feed, settings)
    plan = AggregatorPlan(lake, until_caught_up=True, give_up_seconds=0.5)
    with (
        failing_fsync(".draft")(lake),
        pytest.raises(LakeUnavailableError, match=r"gave up after \d+ s .* the disk fails.* Nothing is lost"),
    ):
        run_aggregator(plan, settings, stop=Event())
    assert run_aggregator(plan, settings, stop=Event()).rows["comparisons"] == count
    judge(settings, lake)


def test_a_lake_that_cannot_be_opened_is_said_at_once(disk: Path, settings: KafkaSettings) -> None:
    """Whoever starts it is there to hear it: at the start nothing is waited for."""
    with read_only(disk), pytest.raises(LakeUnavailableError, match=r"cannot open or make .*Read-only"):
        run_aggregator(AggregatorPlan(disk / "lake"), settings, stop=Event())
