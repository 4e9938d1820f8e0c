"""`shadowlane aggregate` as an operator runs it: until it has caught up, and until it is told to stop."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregators import wait_until
from lake_feed import Feed
from shadowlane.kafka import KafkaSettings, TopicNames


@pytest.fixture
def command(tmp_path: Path, kafka: KafkaSettings, topics: TopicNames) -> Callable[..., subprocess.Popen[str]]:
    """Starts `shadowlane … aggregate …` on this test's topics and lake."""
    env = os.environ | {
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": topics.prefix,
        "SHADOWLANE_LAKE": str(tmp_path / "lake"),
    }

    def start(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "shadowlane", *before, "aggregate", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True)

    return start


@pytest.fixture
def feed(kafka: KafkaSettings, topics: TopicNames) -> Feed:
    """What is landed: in transactions, so that each partition ends in a marker."""
    return Feed(KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix))


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the body; 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def test_it_catches_up_and_says_what_landed(
    command: Callable[..., subprocess.Popen[str]], feed: Feed
) -> None:
    """A summary in JSON on stdout, or a sentence on stderr; it ends although the topics end in markers."""
    feed.publish(40)
    feed.publish(5, commit=False)
    with command("--until-caught-up", "--format", "json") as first:
        out, _ = first.communicate(timeout=120)
    summary = json.loads(out)
    assert first.returncode == 0
    assert summary["rows"]["comparisons"] == 40
    assert summary["commits"] >= len(summary["rows"])
    assert summary["paused_seconds"] == 0
    feed.publish(2)
    with command("--until-caught-up") as second:
        out, said = second.communicate(timeout=120)
    assert (second.returncode, out) == (0, "")
    assert "landed 2 comparisons" in said.splitlines()[-1]


def test_stopped_before_it_has_caught_up_it_says_so(
    command: Callable[..., subprocess.Popen[str]], feed: Feed
) -> None:
    """A script that goes on after it must not take what landed for all there is."""
    feed.publish(40)
    with command("--until-caught-up") as process:
        assert process.stderr is not None
        while "landing in" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_told_to_stop_it_lands_what_it_read(
    command: Callable[..., subprocess.Popen[str]], feed: Feed
) -> None:
    """Ready with its partitions, by KIP-848 too; after SIGTERM nothing that was read is left over."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ("--flush-seconds", "600", "--health-port", str(port), "--group-protocol", "consumer")
    with command(*options, before=("--log-format", "json")) as process:
        wait_until(lambda: get(port, "/readyz") == (200, "ok\n"))
        feed.publish(30)
        wait_until(lambda: "lag_messages{" in get(port, "/metrics")[1])
        waiting = 'shadowlane_aggregator_lag_messages{partition="0",topic='
        wait_until(
            lambda: any(
                line.startswith(waiting) and "comparisons" in line and float(line.split()[-1]) > 0
                for line in get(port, "/metrics")[1].splitlines()
            )
        )
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[-1]["message"].startswith("landed 30 comparisons")
    assert all(line["level"] != "ERROR" for line in lines)
