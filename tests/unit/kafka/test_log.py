"""librdkafka's chatter becomes one line for each change."""

from __future__ import annotations

import gc
import json
import logging

import pytest
from confluent_kafka import KafkaError

from shadowlane.kafka import ClientLog, KafkaSettings, Sasl, Secret
from shadowlane.kafka._log import Cluster

CANARY = "canary-7f3a"
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)
REFUSED = KafkaError(KafkaError._TRANSPORT, "Connection refused")
UP = json.dumps({"brokers": {"a": {"state": "UP"}}})
TRYING = json.dumps({"brokers": {"a": {"state": "TRY_CONNECT"}}})


@pytest.fixture
def settings() -> KafkaSettings:
    """Settings with a secret in them."""
    return KafkaSettings("a:1", sasl=Sasl("PLAIN", "me", Secret(CANARY)))


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that no other test shares."""
    return Cluster("a:1")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person sees."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_outage_is_two_lines(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """However often librdkafka repeats itself: once lost, with the reason, and once back."""
    log = ClientLog(settings, cluster)
    for _ in range(50):
        log.log(40, "%s [%s] %s", "FAIL", "rdkafka#1", "Connection refused")
        log.on_error(REFUSED)
        log.on_error(DOWN)
        log.on_statistics(TRYING)
    assert warnings_of(caplog) == ["Kafka at a:1 is lost: Connection refused; trying again"]
    for _ in range(3):
        log.on_statistics(UP)
    assert warnings_of(caplog)[1:] == ["Kafka at a:1 is back"]


def test_a_second_outage_is_told_again(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Each change of state has its line."""
    log = ClientLog(settings, cluster)
    for _ in range(2):
        log.on_error(DOWN)
        log.on_statistics(UP)
    assert len(warnings_of(caplog)) == 4


def test_the_clients_of_a_process_speak_with_one_voice(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker's producer and consumer lose the same cluster: one line, and back when both are."""
    one, other = ClientLog(settings, cluster), ClientLog(settings, cluster)
    one.on_error(DOWN)
    other.on_error(DOWN)
    one.on_statistics(UP)
    assert len(warnings_of(caplog)) == 1
    other.on_statistics(UP)
    assert len(warnings_of(caplog)) == 2


def test_a_client_closed_while_lost_holds_nobody_back(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The next client's outage is told, as no living client was lost."""
    ClientLog(settings, cluster).on_error(DOWN)
    gc.collect()
    ClientLog(settings, cluster).on_error(DOWN)
    assert len(warnings_of(caplog)) == 2


def test_being_refused_is_told_at_once(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong credentials are not called an outage."""
    ClientLog(settings, cluster).on_error(KafkaError(KafkaError._AUTHENTICATION, "bad password"))
    assert warnings_of(caplog) == ["Kafka at a:1 is lost: it refuses us (bad password); trying again"]


def test_librdkafkas_lines_are_at_debug_and_scrubbed(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Who turns on DEBUG sees them all, without secrets."""
    caplog.set_level(logging.DEBUG, "shadowlane.kafka")
    log = ClientLog(settings, cluster)
    log.log(40, "%s [%s] %s", "SASL", "rdkafka#1", f"password {CANARY}")
    log.on_error(KafkaError(KafkaError._AUTHENTICATION, f"no {CANARY}"))
    assert "SASL [rdkafka#1] password ***" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (
            "APIVERSION_QUERY",
            "the broker hangs up; check security_protocol, and that Kafka runs (a:1: Disconnected",
        ),
        ("UP", "no broker answers"),
    ],
)
def test_a_broker_that_hangs_up_on_a_greeting_is_told_from_one_that_stops(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture, state: str, expected: str
) -> None:
    """A listener that expects TLS closes without a word: the log is the one place that says so."""
    log = ClientLog(settings, cluster)
    log.log(40, "%s [%s] %s", "FAIL", "c#1", f"[thrd:a:1]: a:1: Disconnected (after 1ms in state {state})")
    log.on_error(DOWN)
    assert warnings_of(caplog)[0].startswith(f"Kafka at a:1 is lost: {expected}")


def test_a_certificate_that_is_not_trusted_is_no_refusal(
    settings: KafkaSettings, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """It is we who refuse: nobody should go and look for a wrong password."""
    ClientLog(settings, cluster).on_error(KafkaError(KafkaError._SSL, "verify failed"))
    assert warnings_of(caplog) == ["Kafka at a:1 is lost: no TLS connection (verify failed); trying again"]
