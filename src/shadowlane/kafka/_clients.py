"""The clients of confluent_kafka, with our settings, log and errors; nothing wraps their hot path."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from shadowlane.errors import KafkaFailedError, SettingsError
from shadowlane.kafka._errors import NO_TLS, REFUSED, to_error
from shadowlane.kafka._log import HANG_UP, ClientLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from shadowlane.settings import KafkaSettings

log = logging.getLogger("shadowlane.kafka")

Client = TypeVar("Client", Producer, Consumer, AdminClient)
#: How long to look for a broker before saying that none answers.
FIND_TIMEOUT = 10.0
#: Leaving a group takes milliseconds where its coordinator answers.
CLOSE_TIMEOUT = 5.0
#: A refusal comes at once, and a client that is refused dials several times a second.
FIND_STEP, LONGEST_STEP = 0.25, 2.0
PROPERTY = re.compile(r'property[: ]+"?([\w.]+)')


def make_producer(settings: KafkaSettings, **config: Any) -> Producer:
    """A producer. `config` is our defaults, verbatim librdkafka; the user's `[kafka.client]` is stronger."""
    return _make(Producer, settings, ClientLog(settings).config() | config)


def make_consumer(settings: KafkaSettings, group: str, **config: Any) -> Consumer:
    """A consumer of a group; commits are its owner's job."""
    ours = {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
    }
    return _make(Consumer, settings, ClientLog(settings).config() | ours | config)


def close_consumer(consumer: Consumer, patience: float = CLOSE_TIMEOUT) -> None:
    """Leave the group and close; a close that does not come back is left behind, for the process to end.

    While the group's coordinator is away, librdkafka waits 10 s for the answer to a commit, and at
    times for ever. The group does without our farewell: it notices that our heartbeats have stopped.
    """
    failures: list[BaseException] = []

    def close() -> None:
        try:
            consumer.close()
        except BaseException as failure:
            failures.append(failure)

    thread = Thread(target=close, name="shadowlane-close", daemon=True)
    thread.start()
    thread.join(patience)
    if failures:
        raise failures[0]
    if thread.is_alive():
        log.warning("no broker took our leave within %.0f s; going without", patience)


def make_admin(settings: KafkaSettings, **config: Any) -> AdminClient:
    """An admin client. Nobody polls it, so its log would only pile up: its errors come from its calls."""
    return _make(AdminClient, settings, {"log_level": 0} | config)


def connected_admin(
    settings: KafkaSettings, doing: str, patience: float | None = None, stop: Event | None = None
) -> AdminClient:
    """An admin client that has found a broker; else the true reason why not. `stop` ends the search.

    librdkafka calls it a timeout when a broker refuses us: only its error callback and its log tell why.
    """
    reasons = _Reasons()
    # What it would log from level 7 on is for those who debug librdkafka.
    admin = make_admin(settings, logger=reasons, error_cb=reasons.on_error, log_level=6)
    step, deadline = FIND_STEP, time.monotonic() + (FIND_TIMEOUT if patience is None else patience)
    while True:
        try:
            admin.list_topics(timeout=step)
        except KafkaException as failure:
            admin.poll(0)
            stopped = stop is not None and stop.is_set()
            if reasons.refusal or stopped or time.monotonic() > deadline:
                raise to_error(reasons.refusal or reasons.last or failure.args[0], doing) from failure
            if step == LONGEST_STEP / 2:  # after some seconds, and once
                log.warning("no broker at %s answers yet; still trying", settings.bootstrap_servers)
            step = min(2 * step, LONGEST_STEP)
        else:
            return admin


class _Reasons:
    """Why a client finds no broker, as its callbacks tell."""

    def __init__(self) -> None:
        self.refusal: KafkaError | None = None
        self.last: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """An error that librdkafka tells to nobody else."""
        if error.name() in REFUSED | NO_TLS:
            self.refusal = error
        elif error.name() != "_ALL_BROKERS_DOWN":
            self.last = error

    def log(self, _level: int, line: str, *args: object) -> None:
        """A line of its log, the one place where it says that a broker hung up."""
        hang_up = HANG_UP.search(line % args)
        if hang_up:
            self.last = KafkaError(KafkaError._TRANSPORT, hang_up[1])  # noqa: SLF001  # that is its name


def _make(
    kind: Callable[[dict[str, Any]], Client], settings: KafkaSettings, config: dict[str, Any]
) -> Client:
    _check_files(settings)
    try:
        return kind(config | settings.client_config())
    except KafkaException as failure:
        raise _construction_error(failure, settings) from None


def _construction_error(failure: KafkaException, settings: KafkaSettings) -> SettingsError | KafkaFailedError:
    error = failure.args[0]
    text = settings.scrub(error.str())
    if error.name() != "_INVALID_ARG":
        return to_error(error, "making a Kafka client")
    if "ssl.key.location failed" in text:
        key = settings.tls.key_location
        return SettingsError(f"ssl_key_location: {key} cannot be read; is ssl_key_password right? ({text})")
    found = PROPERTY.search(text)
    where = f"[kafka.client] {found[1]}" if found and found[1] in settings.client else "Kafka client"
    return SettingsError(f"{where}: {text}")


def _check_files(settings: KafkaSettings) -> None:
    """OpenSSL does not name the file that it could not open."""
    tls = settings.tls
    for name, place in (
        ("ssl_ca_location", tls.ca_location),
        ("ssl_certificate_location", tls.certificate_location),
        ("ssl_key_location", tls.key_location),
    ):
        if place and place != "probe" and not Path(place).exists():
            raise SettingsError(f"{name}: {place} does not exist")
