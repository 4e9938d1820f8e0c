"""How long to wait for a Kafka that fails, and which of its errors no waiting mends."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from threading import Event as Flag

from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

from shadowlane.errors import (
    BrokerUnreachableError,
    FencedError,
    KafkaFailedError,
    NotAuthorizedError,
    TopicMissingError,
)
from shadowlane.replay_worker._outbox import MovedOnError

log = logging.getLogger(__name__)

_FIRST_SECONDS, _LONGEST_SECONDS = 0.2, 10.0


class Patience:
    """Waits longer from failure to failure, so that what cannot be sent is not tried in a loop."""

    def __init__(self, stop: Flag) -> None:
        self._stop = stop
        self._tries = 0

    def bear(self, failure: KafkaFailedError) -> None:
        """A batch was not sent: rest, but where only the group moved on."""
        if isinstance(failure, MovedOnError):
            log.info("%s", failure)
            return
        log.warning("%s", failure)
        self.wait()

    def wait(self) -> None:
        """Rest; being told to stop ends it."""
        seconds = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(self._tries, 10))
        self._tries += 1
        self._stop.wait(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - so that a fleet does not march in step

    def reset(self) -> None:
        """It went well."""
        self._tries = 0


def patiently(call: Callable[[], None], stop: Flag) -> None:
    """Again and again while the broker does not answer, until told to stop."""
    waiting = Retrying(
        retry=retry_if_exception_type(BrokerUnreachableError),
        wait=wait_exponential_jitter(max=_LONGEST_SECONDS),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=before_sleep_log(log, logging.WARNING),
        retry_error_callback=lambda _: None,  # told to stop meanwhile
    )
    waiting(call)


def raise_or_say(error: KafkaFailedError, *, fatal: bool) -> None:
    """What passes by itself is a line in the log; what does not ends the worker."""
    if fatal or isinstance(error, (FencedError, NotAuthorizedError, TopicMissingError)):
        raise error
    log.warning("%s", error)
