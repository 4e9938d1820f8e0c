"""A broker that demands TLS and a password: who has both gets in, nobody else, and no secret shows."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from secured_kafka import CANARY, KEY_PASSWORD, PASSWORD, WRONG_PASSWORD, Secured, secured_kafka
from shadowlane.errors import BrokerUnreachableError, NotAuthorizedError, SettingsError, TopicMissingError
from shadowlane.kafka import KafkaSettings, check_topics, make_admin, make_producer, require_topics
from shadowlane.producer import Hook
from shadowlane.settings import Settings

MODEL = "def predict(features):\n    return features['amount'] + 0.01\n"
WORKER = ("worker", "--model", "fraud", "--shadow", "new", "--load", "python:user_model:predict")
REQUESTS = 40
#: librdkafka dials a few times a second; a client that gives up at the first refusal needs few of them.
FEW = 10


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One such broker for all tests of this file."""
    with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.fixture(autouse=True)
def _clusters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test's client lost is not what this test's log is about."""
    monkeypatch.setattr("shadowlane.kafka._log._clusters", {})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon where no broker answers."""
    monkeypatch.setattr("shadowlane.kafka._clients.FIND_TIMEOUT", 1.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a model in it; processes start there."""
    (tmp_path / "user_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_toml(folder: Path, secured: Secured, **changes: str) -> None:
    """The folder's shadowlane.toml, with the authority's certificate beside it."""
    (folder / "ca.pem").write_bytes(Path(secured.ca).read_bytes())
    keys = secured.keys(ssl_ca_location="ca.pem", **changes)
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    (folder / "shadowlane.toml").write_text("\n".join(["[kafka]", *lines, ""]))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of shadowlane, to its end."""
    command = [sys.executable, "-m", "shadowlane", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def running(*commands: tuple[str, ...]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Commands of shadowlane side by side, killed at the end where they still run."""
    env = {**os.environ, "SHADOWLANE_LEAVE_WITH_PARENT": str(os.getpid())}
    with ExitStack() as stack:
        started = []
        for command in commands:
            log = stack.enter_context(Path(f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "shadowlane", "--verbose", *command], env=env, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        yield started


def wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def count(table: str) -> int:
    """The rows of a table of the lake in this folder."""
    place = f"lake/{table}"
    files = DeltaTable(place).file_uris() if DeltaTable.is_deltatable(place) else []
    if not files:
        return 0
    (rows,) = duckdb.execute("select count(*) from read_parquet($files)", {"files": files}).fetchall()
    return int(rows[0])


def gets_in(settings: KafkaSettings) -> bool:
    """Whether a broker answers."""
    return bool(make_admin(settings).list_topics(timeout=30).brokers)


def publish(hook: Hook, requests: int) -> None:
    """So many requests, as a service would."""
    for number in range(requests):
        hook.publish(features={"amount": number / 100}, prediction=number / 100, entity_id=f"user-{number}")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person who reads the log sees."""
    return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]


def test_the_whole_pipeline_goes_through_tls_and_a_password(folder: Path, secured: Secured) -> None:
    """Topics, hook, worker and aggregator with a shadowlane.toml alone; --verbose tells no secret."""
    write_toml(folder, secured, sasl_mechanism="PLAIN", topic_prefix="whole-")
    created = run("--verbose", "topics", "create", "--partitions", "2")
    assert (created.returncode, created.stdout.count("created")) == (0, 6), created.stderr
    with Hook(model="fraud") as hook:
        publish(hook, REQUESTS)
        assert hook.flush(60)
    assert hook.stats().delivered == REQUESTS
    with running(WORKER, ("aggregate", "--flush-seconds", "0.3")) as processes:
        wait_until(lambda: count("comparisons") >= REQUESTS and count("ledger") > 0)
        for process in processes:
            process.terminate()
        assert [process.wait(60) for process in processes] == [0, 0]
    assert (count("comparisons"), count("errors")) == (REQUESTS, 0)
    logs = [created.stderr, *(Path(name).read_text() for name in ("worker.log", "aggregate.log"))]
    assert not any(CANARY in log for log in logs)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_settings_from_arguments_get_in(secured: Secured, mechanism: str) -> None:
    """Both mechanisms with a password, said in code."""
    assert gets_in(KafkaSettings.load(env={}, **secured.keys(sasl_mechanism=mechanism)))


def test_settings_from_the_environment_get_in(
    secured: Secured, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container has them: the password in a mounted file, with a line's end after it."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    keys = secured.keys(sasl_password_file=str(folder / "password"))
    del keys["sasl_password"]
    for name, value in keys.items():
        monkeypatch.setenv(f"SHADOWLANE_{name.upper()}", value)
    assert gets_in(KafkaSettings.load())


@pytest.mark.parametrize("command", [("topics", "create"), WORKER, ("aggregate", "--until-caught-up")])
def test_a_wrong_password_is_one_sentence(folder: Path, secured: Secured, command: tuple[str, ...]) -> None:
    """A command ends at the first refusal, says that it was refused, and shows no password."""
    write_toml(folder, secured, sasl_password=WRONG_PASSWORD)
    before = secured.refusals()
    done = run(*command)
    assert (done.returncode, done.stdout) == (1, "")
    *others, last = done.stderr.splitlines()
    assert last.startswith("shadowlane: ")
    assert "Kafka refused; check security_protocol, the credentials" in last
    assert all(" INFO shadowlane." in line for line in others)
    assert CANARY not in done.stderr
    assert 1 <= secured.refusals() - before <= FEW


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sasl_password": WRONG_PASSWORD}, id="password"),
        pytest.param({"sasl_password": WRONG_PASSWORD, "sasl_mechanism": "PLAIN"}, id="plain"),
        pytest.param({"sasl_username": "nobody"}, id="user"),
        pytest.param({"sasl_mechanism": "SCRAM-SHA-256"}, id="mechanism"),
    ],
)
def test_wrong_credentials_are_a_refusal(secured: Secured, changes: dict[str, str]) -> None:
    """What the broker holds against them reaches the reader; the password does not."""
    settings = KafkaSettings.load(env={}, **secured.keys(**changes))
    before = secured.refusals()
    with pytest.raises(NotAuthorizedError, match=r"Kafka refused; .* \(_AUTHENTICATION: .*SASL") as caught:
        check_topics(settings, [])
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert secured.refusals() - before <= FEW


def doors(secured: Secured) -> dict[str, dict[str, str]]:
    """Settings with which the broker's certificate is not to be trusted."""
    no_ca = secured.keys()
    del no_ca["ssl_ca_location"]
    return {
        "another authority": secured.keys(ssl_ca_location=secured.other_ca),
        "the system's authorities": no_ca,
        "another name": secured.keys(bootstrap_servers=secured.by_name),
    }


@pytest.mark.parametrize("door", ["another authority", "the system's authorities", "another name"])
def test_a_certificate_that_is_not_to_be_trusted_is_named(secured: Secured, door: str) -> None:
    """Nobody who looks for a password is misled: the sentence is about the certificate."""
    with pytest.raises(NotAuthorizedError, match="ssl_ca_location must vouch for the broker's certificate"):
        check_topics(KafkaSettings.load(env={}, **doors(secured)[door]), [])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
def test_the_wrong_protocol_is_hinted_at(secured: Secured, protocol: str) -> None:
    """The broker hangs up without a word; the error says which setting to look at."""
    keys = secured.keys(security_protocol=protocol)
    if not protocol.startswith("SASL"):
        keys = {name: value for name, value in keys.items() if not name.startswith("sasl")}
    if not protocol.endswith("SSL"):
        del keys["ssl_ca_location"]
    with pytest.raises(BrokerUnreachableError, match="the broker hangs up; check security_protocol"):
        check_topics(KafkaSettings.load(env={}, **keys), [])


def test_a_hook_with_a_wrong_password_harms_nobody(
    secured: Secured, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Publishing never raises, each request is counted as failed, and each state is one line."""
    caplog.set_level(logging.DEBUG, "shadowlane")
    hook = Hook(model="fraud", kafka=KafkaSettings.load(env={}, **secured.keys(sasl_password=WRONG_PASSWORD)))
    publish(hook, REQUESTS)
    wait_until(lambda: caplog.text.count("_AUTHENTICATION") > 2)
    publish(hook, REQUESTS)
    assert not hook.flush(0.1)
    hook.close(timeout=1)
    stats = hook.stats()
    assert (stats.observed, stats.delivered, stats.queued) == (2 * REQUESTS, 0, 0)
    assert stats.failed + sum(stats.dropped.values()) == 2 * REQUESTS
    refused, closed = said(caplog)
    assert refused.startswith(f"Kafka at {secured.servers} is lost: it refuses us (")
    assert "closed before Kafka had answered for" in closed
    assert CANARY not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("protocol", "the broker hangs up; check security_protocol"), ("authority", "no TLS connection (")],
)
def test_a_hook_says_why_it_gets_no_connection(
    secured: Secured, caplog: pytest.LogCaptureFixture, fault: str, reason: str
) -> None:
    """A wrong protocol and a wrong authority are told apart from a Kafka that is away."""
    plain = KafkaSettings(secured.servers)
    wrong_ca = KafkaSettings.load(env={}, **secured.keys(ssl_ca_location=secured.other_ca))
    hook = Hook(model="fraud", kafka=plain if fault == "protocol" else wrong_ca)
    publish(hook, 1)
    wait_until(lambda: bool(said(caplog)))
    assert said(caplog)[0].startswith(f"Kafka at {secured.servers} is lost: {reason}")
    hook.close(timeout=0.1)


def test_no_secret_shows_however_much_is_logged(
    secured: Secured, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither settings that are printed nor librdkafka's most talkative log contain the password."""
    caplog.set_level(logging.DEBUG, "shadowlane")
    keys: dict[str, Any] = secured.keys()
    settings = Settings.load(env={}, **keys, client={"debug": "all"})
    assert CANARY not in f"{settings!r} {settings} {settings.kafka!r} {settings.kafka.secrets}"
    producer = make_producer(settings.kafka)
    producer.list_topics(timeout=30)
    wait_until(lambda: producer.poll(0.05) >= 0 and "SASL" in caplog.text)
    assert CANARY not in caplog.text
    output = capfd.readouterr()
    assert CANARY not in output.out + output.err


def mutual_keys(secured: Secured) -> dict[str, str]:
    """Settings of a client that shows a certificate, whose key has a password."""
    return {
        "bootstrap_servers": secured.mutual_servers,
        "ssl_ca_location": secured.ca,
        "ssl_certificate_location": str(secured.certificates / "client.pem"),
        "ssl_key_location": str(secured.certificates / "client.key"),
        "ssl_key_password": KEY_PASSWORD,
    }


def test_a_client_with_a_certificate_gets_in(secured: Secured) -> None:
    """Mutual TLS, with a key that has a password; a topic that is not there is then the only fault."""
    settings = KafkaSettings.load(env={}, **mutual_keys(secured))
    assert settings.security_protocol == "SSL"
    assert CANARY not in repr(settings)
    with pytest.raises(TopicMissingError, match="topic nowhere does not exist"):
        require_topics(settings, ["nowhere"])


@pytest.mark.usefixtures("impatient")
def test_a_client_without_a_certificate_is_told_to_bring_one(secured: Secured) -> None:
    """To librdkafka it is a lost connection; the error names the setting."""
    keys = {name: mutual_keys(secured)[name] for name in ("bootstrap_servers", "ssl_ca_location")}
    with pytest.raises(BrokerUnreachableError, match="check ssl_certificate_location"):
        check_topics(KafkaSettings.load(env={}, **keys), [])


@pytest.mark.parametrize("password", [WRONG_PASSWORD, ""])
def test_a_wrong_password_of_the_key_is_named(secured: Secured, password: str) -> None:
    """OpenSSL says `PEM lib`; we say which file and which setting."""
    keys = mutual_keys(secured) | {"ssl_key_password": password}
    with pytest.raises(
        SettingsError, match=r"ssl_key_location: .*client.key cannot be read; is ssl_key_"
    ) as caught:
        gets_in(KafkaSettings.load(env={}, **keys))
    assert CANARY not in str(caught.value)
