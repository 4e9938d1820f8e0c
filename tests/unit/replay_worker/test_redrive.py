"""Which requests go through again: those whose last word is an error that is meant."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Message

from shadowlane.replay_worker import Target
from shadowlane.replay_worker._results import RAW_LIMIT
from shadowlane.replay_worker.redrive import Selection
from shadowlane.replay_worker.redrive._failures import Failed, Failures
from shadowlane.schemas import Codec, ShadowError
from tests_support import NOON

TOPIC, TARGET = "production-requests", Target("fraud", "next")


def said(offset: int, **changes: Any) -> Message:
    """A message of the errors' topic: the request at this offset failed."""
    fields: dict[str, Any] = {
        "request_id": f"request-{offset}", "model": "fraud", "shadow": "next", "run": "live",
        "source_topic": TOPIC, "source_partition": 0, "source_offset": offset,
        "stage": "predict", "error_type": "KeyError", "message": "", "failed_at": NOON, "worker_id": "w",
    }  # fmt: skip
    value = Codec(ShadowError).encode(ShadowError(**(fields | changes)))
    return Message(topic="shadow-errors", value=value, timestamp=(1, 1_000 + offset))


def found(*messages: Message) -> Failures:
    """What the messages say of the shadow that is meant."""
    failures = Failures()
    failures.add(messages, TARGET, TOPIC)
    return failures


def message(value: bytes | None) -> Message:
    """A message of the requests' topic."""
    return Message(topic=TOPIC, value=value)


def test_only_errors_of_the_shadow_and_run_count() -> None:
    """Other models', shadows' and runs' errors are theirs; bytes that are no error are nobody's."""
    others = [said(1, model="m"), said(2, shadow="s"), said(3, run="r")]
    broken = Message(topic="shadow-errors", value=b"not ours", timestamp=(1, 1))
    assert set(found(said(0), *others, broken).by_spot) == {(0, 0)}


def test_errors_of_requests_that_were_in_no_topic_are_counted_apart() -> None:
    """A shadow in the service's own process has nothing that could be read again."""
    failures = found(said(0), said(1, source_topic="in-process:p"))
    assert (set(failures.by_spot), failures.elsewhere) == ({(0, 0)}, 1)


def test_of_a_requests_errors_the_last_one_is_its_last_word() -> None:
    """Whichever was read first; a selection by stage or time is of that one."""
    later = said(0, stage="timeout", failed_at=NOON + timedelta(hours=1))
    for order in ([said(0), later], [later, said(0)]):
        [failed] = found(*order).by_spot.values()
        assert failed.stage == "timeout"
        assert Selection(stages=["timeout"]).takes(failed)
        assert not Selection(stages=["predict"]).takes(failed)
        assert Selection(since=NOON + timedelta(hours=1)).takes(failed)
        assert not Selection(since=NOON + timedelta(hours=1, microseconds=1)).takes(failed)
        assert Selection().takes(failed)


def test_a_request_is_known_by_its_id() -> None:
    """Another request in its place is another one, and so is what nobody can read."""
    [failed] = found(said(7)).by_spot.values()
    assert failed.is_of(message(b"any"), "request-7")
    assert not failed.is_of(message(b"any"), "request-8")
    assert not failed.is_of(message(b"any"), None)


@pytest.mark.parametrize("value", [b"", b"\x00\xff", b"x" * (RAW_LIMIT + 10), None])
def test_what_nobody_could_read_is_known_by_its_bytes(value: bytes | None) -> None:
    """As far as the error keeps them; whether it can be read now does not matter."""
    raw = base64.b64encode((value or b"")[:RAW_LIMIT]).decode("ascii")
    [failed] = found(said(0, request_id=None, stage="decode", raw=raw)).by_spot.values()
    assert failed.is_of(message(value), None)
    assert failed.is_of(message(value), "request-0")
    assert not failed.is_of(message(b"other"), None)


def test_an_error_that_keeps_neither_id_nor_bytes_is_nobodys() -> None:
    """Without either there is no telling what stands in its place."""
    assert not Failed("decode", NOON, 0, None, None, None).is_of(message(b""), None)
