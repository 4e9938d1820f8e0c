"""The aggregator, the reports and the commands on a lake in S3, from a real Kafka, with faults in between.

What has landed is fetched with another client and judged by `lake_accounting`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from aggregators import Aggregators, end, wait_until
from faulty_store import Answer, Deed, FaultyStore, LoseAnswer, Matcher, Reset, Rule, faulty_store
from lake_accounting import assert_exactly_once
from lake_feed import Feed
from object_stores import KEYS, Bucket, s3_bucket, s3_store
from shadowlane.kafka import KafkaSettings
from shadowlane.lake import Location

PREFIX = "team/lake"
STEPS = (
    ("after creating a table", 2),
    ("before the commit", 2),
    ("after the commit", 3),
    ("after the dead letters", 1),
)
#: How often, so that the client has given up at least once: it tries a request eleven times.
FAULTS: tuple[tuple[Deed, Matcher, int], ...] = (
    (Answer(503, "SlowDown"), lambda _: True, 12),
    (Answer(500, "InternalError"), lambda each: each.is_commit, 12),
    (Reset(), lambda each: each.is_data, 12),
    (LoseAnswer(), lambda each: each.is_commit, 2),
)
#: A stand-in for S3 takes some 20 ms a request: few and larger commits.
MEMBER = {"flush_rows": 500, "flush_seconds": 0.5}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 of this module's own."""
    with s3_store() as endpoint:
        yield endpoint


@pytest.fixture
def proxy(s3: str) -> Iterator[FaultyStore]:
    """What stands before it."""
    with faulty_store(s3) as proxy:
        yield proxy


# A store takes ten times as long as a disk to commit to: three that commit all the time only get in each
# other's way.
UNHURRIED = MEMBER | {"flush_rows": 400, "flush_seconds": 1.5}


@pytest.fixture
def bucket(s3: str, proxy: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of this test's own, which the environment tells of."""
    bucket = s3_bucket(s3, uuid.uuid4().hex).through(proxy.url)
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def lake(bucket: Bucket) -> str:
    """Where it is."""
    return f"{bucket.url}/{PREFIX}"


@pytest.fixture
def aggregators(tmp_path: Path, settings: KafkaSettings, lake: str) -> Iterator[Aggregators]:
    """Aggregators of the run's Kafka that land in S3."""
    made = Aggregators(tmp_path, settings)
    made.lake = lake  # type: ignore[assignment]  # they hand it on as text
    yield made
    made.close()


def rows(lake: str, table: str = "comparisons") -> int:
    """How many rows a table has by its log; none where there is no table yet."""
    location = Location.parse(lake)
    try:
        return int(DeltaTable(location.table(table), storage_options=dict(location.options)).count())
    except TableNotFoundError:
        return 0


def judged(bucket: Bucket, settings: KafkaSettings, folder: Path) -> int:
    """How many comparisons have landed, once all that landed is known to be right."""
    bucket.copy(PREFIX, folder)
    found = assert_exactly_once(settings.bootstrap_servers, folder, settings.topic_prefix, leftovers=True)
    return found.rows["comparisons"]


def shadowlane(*arguments: str, code: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("shadowlane")), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert KEYS["secret_access_key"] not in done.stdout + done.stderr
    return done.stdout or done.stderr


@pytest.mark.timeout(240)
def test_killed_at_each_step_it_lands_each_message_once(
    aggregators: Aggregators, settings: KafkaSettings, bucket: Bucket, tmp_path: Path
) -> None:
    """Whatever was put, committed or told to Kafka when it died: the next goes on."""
    feed = Feed(settings)
    for step, count in STEPS:
        feed.some(40)
        assert aggregators.catch_up(step, count) == -signal.SIGKILL, step
    assert aggregators.catch_up() == 0
    assert judged(bucket, settings, tmp_path / "copy") > 100


@pytest.mark.timeout(240)
def test_two_at_once_and_a_third_that_catches_up_land_each_message_once(
    aggregators: Aggregators, settings: KafkaSettings, bucket: Bucket, lake: str, tmp_path: Path
) -> None:
    """Conflicts are found by conditional puts; one member of the group is killed in the middle."""
    feed = Feed(settings)
    members = [aggregators.start(UNHURRIED), aggregators.start(UNHURRIED)]
    with feed.flowing(pause=1.0):
        wait_until(lambda: rows(lake) > 0)
        third = aggregators.start(UNHURRIED | {"until_caught_up": True})
        assert third.wait(120) == 0
        members[0].kill()
        before = rows(lake)
        wait_until(lambda: rows(lake) > before)
    assert aggregators.start(UNHURRIED | {"until_caught_up": True}).wait(120) == 0
    end(members[1:])
    assert judged(bucket, settings, tmp_path / "copy") == rows(lake)


@pytest.mark.timeout(240)
def test_it_waits_out_faults_of_the_store(
    aggregators: Aggregators,
    settings: KafkaSettings,
    proxy: FaultyStore,
    bucket: Bucket,
    lake: str,
    tmp_path: Path,
) -> None:
    """Throttled, broken, cut off in the middle of a put, left without an answer: it goes on, and once."""
    feed = Feed(settings)
    feed.some(40)
    member = aggregators.start(MEMBER)
    wait_until(lambda: rows(lake) > 0)
    for deed, matches, times in FAULTS:
        before = rows(lake)
        with proxy.doing(deed, matches) as rule:
            feed.some(40)
            wait_until(partial(_was_done, rule, times))
        wait_until(partial(_has_more, lake, before))
        assert member.poll() is None
    assert aggregators.start(MEMBER | {"until_caught_up": True}).wait(120) == 0
    end([member])
    assert judged(bucket, settings, tmp_path / "copy") == rows(lake)
    assert "SlowDown" in aggregators.log.read_text()


def _was_done(rule: Rule, times: int) -> bool:
    return rule.done >= times


def _has_more(lake: str, before: int) -> bool:
    return rows(lake) > before


@pytest.mark.timeout(240)
def test_the_commands_say_the_same_of_a_lake_in_s3_as_of_a_folder(
    settings: KafkaSettings, bucket: Bucket, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one option everywhere, and with options from a file; wrong keys are told in a sentence."""
    Feed(settings).some(200)
    for name in bucket.environment():
        monkeypatch.delenv(name)
    (tmp_path / "key").write_text(KEYS["secret_access_key"])
    config = tmp_path / "shadowlane.toml"
    config.write_text(
        f"lake = '{lake}'\n[lake_options]\nendpoint = '{bucket.endpoint}'\nregion = 'us-east-1'\n"
        f"allow_http = true\naccess_key_id = '{KEYS['access_key_id']}'\nsecret_access_key_file = 'key'\n"
        f"[kafka]\nbootstrap_servers = '{settings.bootstrap_servers}'\n"
        f"topic_prefix = '{settings.topic_prefix}'\n"
    )
    here = ("--config", str(config))
    there = (*here, "--lake", str(tmp_path / "folder"))
    for place in (here, there):
        shadowlane("aggregate", "--until-caught-up", *place)
    scope = ("--model", "fraud", "--shadow", "boosting-2")
    report = ("report", *scope, "--by", "country", "--format", "json")
    errors = ("errors", "list", "--format", "json")
    gate = ("gate", *scope, "--format", "json", "--no-record")
    for command, code in ((report, 0), (errors, 0), (gate, 3)):
        said = [json.loads(shadowlane(*command, *place, code=code)) for place in (here, there)]
        assert _timeless(said[0]) == _timeless(said[1])


def _timeless(said: dict[str, object]) -> dict[str, object]:
    """What a command says, but for when, and for the versions, as each lake has commits of its own."""
    return {name: value for name, value in said.items() if name not in {"decided_at", "table_versions"}}
