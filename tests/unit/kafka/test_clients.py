"""Making clients: what is wrong is said in our words."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import pytest

from shadowlane.errors import SettingsError
from shadowlane.kafka import (
    KafkaSettings,
    Sasl,
    Secret,
    Tls,
    close_consumer,
    make_admin,
    make_consumer,
    make_producer,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOWHERE = "127.0.0.1:1"
CANARY = "canary-7f3a"


@pytest.mark.parametrize("make", [make_producer, make_admin, lambda s: make_consumer(s, "g")])
def test_a_wrong_property_is_named(make: object) -> None:
    """A mistyped librdkafka property is a settings error that names it."""
    assert callable(make)
    with pytest.raises(SettingsError, match=r"\[kafka.client\] linger.mss: No such configuration property"):
        make(KafkaSettings(NOWHERE, client={"linger.mss": "5"}))


def test_a_wrong_value_is_named() -> None:
    """So is a value that a property cannot have."""
    with pytest.raises(SettingsError, match=r"\[kafka.client\] socket.timeout.ms"):
        make_producer(KafkaSettings(NOWHERE, client={"socket.timeout.ms": "soon"}))


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    """OpenSSL says `BIO lib`; we say which file."""
    gone = str(tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match=f"ssl_ca_location: {gone} does not exist"):
        make_producer(KafkaSettings(NOWHERE, tls=Tls(ca_location=gone)))


def test_errors_of_construction_hold_no_secret() -> None:
    """A key that is not one is refused without being shown."""
    settings = KafkaSettings(
        NOWHERE,
        security_protocol="SASL_SSL",
        sasl=Sasl("PLAIN", "me", Secret(CANARY)),
        client={"ssl.key.pem": f"{CANARY}-pem"},
    )
    with pytest.raises(SettingsError) as caught:
        make_producer(settings)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_users_property_beats_a_stages_default() -> None:
    """`[kafka.client]` is the last word on tuning."""
    with pytest.raises(SettingsError, match=r"\[kafka.client\] batch.size"):
        make_producer(KafkaSettings(NOWHERE, client={"batch.size": "never"}), **{"batch.size": 500})


class Closing:
    """What `close_consumer` knows of a consumer."""

    def __init__(self, close: Callable[[], object]) -> None:
        self.close = close


def test_a_close_that_does_not_come_back_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """With the group's coordinator away it may wait for ever: who closes goes on, and says so."""
    begun, released, ended = Event(), Event(), Event()

    def close() -> None:
        begun.set()
        released.wait(60)
        ended.set()

    with caplog.at_level(logging.WARNING, "shadowlane.kafka"):
        close_consumer(cast("Any", Closing(close)), patience=0.1)
    assert begun.is_set()
    assert not ended.is_set()
    assert "no broker took our leave" in caplog.text
    released.set()


def test_what_a_close_raises_is_raised() -> None:
    """A callback of the consumer's that fails as it leaves is no secret."""

    def close() -> None:
        raise ValueError("revoked in vain")

    with pytest.raises(ValueError, match="revoked in vain"):
        close_consumer(cast("Any", Closing(close)))
