"""The canary test: secrets in every place of a request, and none of them in a topic, a log or a figure."""

from __future__ import annotations

import base64
import json
import logging
import struct
import time
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
from confluent_kafka import TopicPartition

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.producer import Hook, Limits, Redaction
from shadowlane.schemas import Codec, Prediction, ProductionRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from conftest import ConsumerFactory

GENEROUS = 60.0
KEY = "a-key-that-is-a-canary-as-well"
NUMBER, INTEGER, SCORE = 8123.456789012, 987654321098765, 0.7318264519


@dataclass
class Customer:
    """A nested value that is no mapping."""

    phone: str
    age: int = 41


class Unspeakable:
    """Cannot be encoded, and says a secret whenever it is asked anything."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __str__(self) -> str:
        return self._secret

    __repr__ = __str__

    def __float__(self) -> float:
        raise ValueError(self._secret)


class Unreadable(Unspeakable):
    """Has the looks of an array, too."""

    def tolist(self) -> list[object]:
        """What an array has."""
        raise KeyError(self._secret)


class Canaries:
    """Makes secrets, and finds them again however they are written."""

    def __init__(self) -> None:
        self.texts = [KEY]
        self.numbers: list[float] = [NUMBER, INTEGER, SCORE]

    def text(self, where: str) -> str:
        """A new secret."""
        self.texts.append(f"CANARY-{where}-{len(self.texts)}-Ω")
        return self.texts[-1]

    def vector(self) -> list[float]:
        """Numbers as no other vector has them."""
        start = 1000 * len(self.numbers)
        self.numbers += [start + 1 / 3, start + 2 / 7]
        return self.numbers[-2:]

    def found_in(self, data: bytes) -> list[str]:
        """The secrets that are in these bytes: in UTF-8, hex, base64, as JSON escapes them, packed."""
        lowered = data.lower()
        return [
            what
            for what, forms in self._forms()
            if any(form in data or form.lower() in lowered for form in forms)
        ]

    def _forms(self) -> Iterator[tuple[str, list[bytes]]]:
        for text in self.texts:
            raw = text.encode()
            # In base64 three bytes are four letters: a text has three forms, by where it begins.
            shifted = [base64.b64encode(b"\0" * n + raw)[4 * (n > 0) : -4] for n in range(3)]
            yield text, [raw, raw.hex().encode(), json.dumps(text)[1:-1].encode(), *shifted]
        for number in self.numbers:
            packed = struct.pack("<d", number)
            in_base64 = [base64.b64encode(b"\0" * n + packed)[4 * (n > 0) : -4] for n in range(3)]
            forms = [repr(number).encode(), packed, packed[::-1], packed.hex().encode(), *in_base64]
            yield repr(number), [*forms, *([_long(number)] if isinstance(number, int) else [])]


def _long(number: int) -> bytes:
    """An integer as Avro writes it."""
    left, out = number << 1, bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)


def all_messages(topics: TopicNames, consumer_factory: ConsumerFactory) -> list[Message]:
    """Each message of each topic with this test's prefix, from the first to the last that is there now."""
    consumer = consumer_factory()
    ends: dict[tuple[str, int], int] = {}
    for name, topic in consumer.list_topics(timeout=GENEROUS).topics.items():
        if name.startswith(topics.prefix):
            for partition in topic.partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=GENEROUS)
                if high > low:
                    ends[name, partition] = high
    consumer.assign([TopicPartition(name, partition, 0) for name, partition in ends])
    found: list[Message] = []
    deadline = time.monotonic() + GENEROUS
    while ends and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.1):
            assert not message.error()
            found.append(message)
            place = str(message.topic()), int(message.partition() or 0)
            if int(message.offset() or 0) + 1 >= ends.get(place, 0):
                ends.pop(place, None)
    assert not ends
    return found


def raw(message: Message) -> bytes:
    """All that a reader of the topic sees of a message."""
    headers: Any = message.headers() or []
    named = [part for name, value in headers for part in (name.encode(), value)]
    parts = [message.key(), message.value(), *named]
    return b"\n".join(part or b"" for part in parts)


RULES: list[dict[str, Any]] = [
    {"field": ["features.ok", "features.mixed.ok", "segments.country"], "action": "allow"},
    {
        "field": ["entity_id", "request_id", "features.email", "features.when", "features.id"],
        "action": "hash",
    },
    {"glob": "features.hashed*", "action": "hash", "cut": 16},
    {"regex": r"features\.(number|integer|numpy|scores)", "action": "bucket", "width": 1000},
    {"field": ["features.zip", "segments.zip"], "action": "bucket", "keep": 2},
]


def test_no_secret_leaves_the_process(
    settings: KafkaSettings,
    topics: TopicNames,
    consumer_factory: ConsumerFactory,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in a key, value or header of any topic, nor in the log, on the terminal or among the figures."""
    canaries = Canaries()
    secret, vector = canaries.text, canaries.vector
    redaction = Redaction(RULES, otherwise="drop", key=KEY)
    requests: list[dict[str, Any]] = [
        {
            "features": {
                "ok": "fine",
                "email": secret("hashed"),
                "when": date(1971, 2, 3),
                "id": UUID(int=INTEGER),
                "hashed_list": [secret("list"), INTEGER, {"a": secret("inner")}],
                "hashed_vector": np.array(vector()),
                "zip": "94" + secret("zip"),
                "number": NUMBER,
                "integer": INTEGER,
                "numpy": np.float64(NUMBER),
                "scores": vector(),
                "text": secret("text"),
                "vector": vector(),
                "array": np.array(vector()),
                "nested": {"a": [{"b": secret("nested")}], secret("inner-name"): vector()},
                "mixed": {"ok": 1, "no": secret("mixed"), "customer": Customer(secret("dataclass"))},
                "json": json.dumps({"a": secret("json")}),
                secret("name"): 1.0,
                secret("name-of-missing"): None,
                secret("name-of-flag"): True,
                secret("name-of-empty"): {},
                "object": Unspeakable(secret("object")),
                "bytes": secret("bytes").encode(),
                "surrogate": secret("surrogate") + "\ud800",
            },
            "entity_id": secret("entity"),
            "request_id": secret("request"),
            "segments": {"country": "DE", "zip": "94" + secret("segment"), secret("segment-name"): "x"},
            "context": {
                "ip": secret("context"),
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            },
            "prediction": {"label": secret("label"), "score": SCORE},
        },
        *(
            {"features": {"ok": 1}, "entity_id": secret("entity"), "prediction": prediction}
            for prediction in (
                secret("label"),
                SCORE,
                [secret("ranking")],
                vector(),
                np.array(vector()),
                Unspeakable(secret("prediction")),
                {secret("unknown-name"): 1},
                Prediction(label=secret("label"), ranking=[secret("ranking")], vector=vector()),
            )
        ),
    ]
    canaries.texts += ["4bf92f3577b34da6a3ce929d0e0e4736", "1971-02-03", str(UUID(int=INTEGER))]
    unencodable: list[dict[str, Any]] = [
        {"features": {"email": Unspeakable(secret("object"))}},
        {"features": {"email": Unreadable(secret("object"))}},
        {"features": {"email": secret("bytes").encode()}},
        {"features": {"ok": {"a": {(secret("tuple"),): 1}}}},
        {"features": {"ok": secret("surrogate") + "\ud800"}},
        {"features": {"number": secret("text")}},
        {"features": {"zip": INTEGER}},
        {"features": Unspeakable(secret("features"))},
        {"segments": [secret("segments")]},
        {"segments": {"country": Unspeakable(secret("segment"))}},
        {"latency_ms": Unspeakable(secret("latency"))},
        {"latency_ms": secret("latency")},
        {"event_time": secret("time")},
    ]
    good: dict[str, Any] = {"features": {"ok": 1}, "prediction": 0.5}
    limits = Limits(exit_seconds=GENEROUS)
    with (
        caplog.at_level(logging.DEBUG),
        Hook(model="ranker", kafka=settings, redaction=redaction, limits=limits) as hook,
    ):
        for request in requests:
            hook.publish(**request)
        for wrong in unencodable:
            hook.publish(**(good | wrong))
        with hook.observe({"text": secret("observed")}, entity_id=secret("entity")) as call:
            call.prediction = secret("label")
        with pytest.raises(ValueError, match="CANARY"), hook.observe({"text": secret("failed")}):
            raise ValueError(secret("primary"))
        hook.defer(partial(_deferred, secret("deferred")), size=100)
        hook.defer(partial(_failing, secret("deferring")), size=100)
    stats = hook.stats()
    assert stats.dropped == {"not_encodable": len(unencodable) + 1}
    assert stats.delivered == len(requests) + 2

    messages = all_messages(topics, consumer_factory)
    assert {message.topic() for message in messages} == {topics.requests, topics.ledger}
    for message in messages:
        assert canaries.found_in(raw(message)) == []
    said = caplog.text + "".join(capfd.readouterr()) + repr(stats) + repr(redaction)
    assert said.count("a request was not published") > 5
    assert canaries.found_in(said.encode()) == []

    by_request = {message.value(): message for message in messages if message.topic() == topics.requests}
    events = [Codec(ProductionRequest).decode(value) for value in by_request]
    first = next(event for event in events if event.sequence == 0)
    assert first.features.strings.keys() == {"ok", "email", "when", "id", "zip"}
    assert (first.features.strings["ok"], first.features.strings["zip"]) == ("fine", "94")
    assert first.features.numbers == {"number": 8000.0, "numpy": 8000.0}
    assert first.features.integers == {"integer": 987654321098000}
    assert first.features.json.keys() == {"hashed_list", "hashed_vector", "mixed"}
    assert (first.segments, first.context, first.prediction) == ({"country": "DE", "zip": "94"}, {}, None)


def test_the_canaries_are_found_where_nothing_is_redacted(
    settings: KafkaSettings, topics: TopicNames, consumer_factory: ConsumerFactory
) -> None:
    """The same search finds each of them, in whichever form: it is not blind."""
    canaries = Canaries()
    text, in_hex, in_base64 = canaries.text("text"), canaries.text("hex"), canaries.text("base64")
    features = {
        "text": text,
        "hex": in_hex.encode().hex(),
        "base64": [base64.b64encode(b"x" * n + in_base64.encode()).decode() for n in range(3)],
        "number": NUMBER,
        "integer": INTEGER,
        "vector": canaries.vector(),
        "key": KEY,
    }
    with Hook(model="ranker", kafka=settings, limits=Limits(exit_seconds=GENEROUS)) as hook:
        hook.publish(features=features, prediction=SCORE, entity_id=canaries.text("entity"))
    messages = all_messages(topics, consumer_factory)
    found = {each for message in messages for each in canaries.found_in(raw(message))}
    assert found == {*canaries.texts, *map(repr, canaries.numbers)}


def _deferred(secret: str) -> dict[str, Any]:
    return {"features": {"ok": 1, "text": secret}, "prediction": secret}


def _failing(secret: str) -> dict[str, Any]:
    raise LookupError(secret)
