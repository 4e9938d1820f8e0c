"""Whatever a request holds, what is said of it can be sent: else it would stop each worker that reads it."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
import pytest
from confluent_kafka import Message, Producer

from shadowlane.replay_worker._answers import Answered, no_answers
from shadowlane.replay_worker._outbox import _produce
from shadowlane.replay_worker._outgoing import MAX_VALUE_BYTES, Envelope, Outgoing
from shadowlane.replay_worker._plan import Target
from shadowlane.replay_worker._requests import read_requests
from shadowlane.replay_worker._results import Who, encode_errors
from shadowlane.schemas import Codec, Failure, ProductionRequest, ShadowError
from tests_support import NOON, request

HUGE = "x" * (MAX_VALUE_BYTES + 1)
WHO = Who(Target("fraud", "next"), "w", NOON)


class Sent:
    """A message as the worker reads it."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        """Its bytes."""
        return self._value

    def topic(self) -> str:
        """Its topic."""
        return "requests"

    def partition(self) -> int:
        """Its partition."""
        return 3

    def offset(self) -> int:
        """Its offset."""
        return 5


def error_of(missing: pa.ListArray | None = None, **changes: Any) -> ShadowError:
    """What is sent of a request that failed."""
    message = cast("Message", Sent(Codec(ProductionRequest).encode(request(**changes))))
    answered = Answered(no_answers(), [(0, Failure("predict", "KeyError", "'x'"))], 1, missing=missing)
    requests = read_requests([message], "fraud").requests
    (value,) = encode_errors([], answered.failures, requests, answered, WHO, "errors").values
    assert len(value) <= MAX_VALUE_BYTES
    return Codec(ShadowError).decode(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"segments": {"country": HUGE}},
        {"segments": {HUGE: "DE"}},
        {"request_id": HUGE},
        {"model_version": HUGE},
        {"entity_id": HUGE},
        {"context": {"traceparent": HUGE}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_error_is_never_too_large_to_send(changes: dict[str, Any]) -> None:
    """What makes it so is left out, and the error says that; which message it was of stays."""
    error = error_of(**changes)
    assert (error.source_partition, error.source_offset, error.stage) == (3, 5, "predict")
    assert error.message.startswith("'x'")
    assert "left out" in error.message
    assert not error.segments


def test_nor_is_one_of_a_model_that_lacks_too_much() -> None:
    """What a request lacks is said by the model's process, which is not trusted."""
    error = error_of(pa.array([[HUGE]], pa.list_(pa.string())))
    assert (list(error.missing_features), error.request_id) == ([], "request-0")


def test_an_error_of_a_usual_size_is_sent_whole() -> None:
    """Segments and missing features are for reports."""
    error = error_of(pa.array([["amount"]], pa.list_(pa.string())))
    assert (error.segments, list(error.missing_features)) == ({"country": "DE"}, ["amount"])
    assert error.message == "'x'"


def test_a_result_whose_key_is_too_large_goes_without() -> None:
    """The key is the request's own, and may be as large as a message."""
    producer = Producer({"message.max.bytes": 10_000, "log_level": 0})
    sources = [Envelope(b"k", 1), Envelope(b"k" * 10_000, 1), Envelope(b"k", 1)]
    _produce(producer, Outgoing("errors", sources, [b"value"] * 3))
    waiting = len(producer)
    producer.purge()
    assert waiting == 3
