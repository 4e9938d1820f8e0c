"""Bytes that are not the event they should be: a typed error that says where they lie, and no more harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyruhvro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golden.generate import SAMPLES
from shadowlane.errors import CodecError, CorruptMessageError, ForeignMessageError, Place, UnknownSchemaError
from shadowlane.schemas import (
    Codec,
    Event,
    LedgerEntry,
    Prediction,
    ProductionLabel,
    ShadowError,
    from_record,
    registered_header,
)
from shadowlane.schemas.columns import ColumnCodec
from strategies import EVENTS, moderate, same, to_rows

_PLACE = Place("production-requests", 3, 129)
_CODECS = {event: (Codec(event), ColumnCodec(event)) for event in EVENTS}
_MESSAGES = {event: tuple(map(Codec(event).encode, SAMPLES[event])) for event in EVENTS}


def number(value: int) -> bytes:
    """A long as Avro writes it."""
    zigzag = (value << 1) ^ (value >> 63)
    out = b""
    while zigzag > 0x7F:
        out += bytes([zigzag & 0x7F | 0x80])
        zigzag >>= 7
    return out + bytes([zigzag])


def label_message(
    *,
    request_id: bytes = b"\x02r",
    score: bytes = b"\x00",
    vector: bytes = b"\x00",
    ranking: bytes = b"\x00",
    time: bytes = b"\x00",
) -> bytes:
    """A label, put together by hand."""
    header = _CODECS[ProductionLabel][0].header
    return header + request_id + b"\x02m\x02n" + score + b"\x00" + vector + ranking + time + b"\x02s"


def ledger_message(dropped: bytes) -> bytes:
    """A ledger entry whose map of drops is put together by hand."""
    bare = _MESSAGES[LedgerEntry][1]
    after = LedgerEntry.__slots__[::-1].index("dropped")  # fields of one byte each, where nothing was counted
    return bare[: -after - 1] + dropped + bare[-after:]


def outcome(event: type[Event], message: bytes | None) -> str | type[CodecError]:
    """What both codecs make of a message: the same event, or the same error in the same words."""
    _, columns = _CODECS[event]
    decoded = columns.decode([message], place=lambda _: _PLACE)
    expected, error = _decoded(event, message)
    if error is None:
        (row,) = to_rows(decoded.batch)
        assert same(from_record(event, row)) == expected
        return expected
    (reject,) = decoded.rejects
    assert (reject.index, type(reject.error), str(reject.error)) == (0, type(error), str(error))
    assert error.place == _PLACE
    assert str(error).startswith("production-requests[3]@129: ")
    return type(error)


def _decoded(event: type[Event], message: bytes | None) -> tuple[str, CodecError | None]:
    try:
        return same(_CODECS[event][0].decode(message, _PLACE)), None
    except CodecError as error:
        return "", error


@pytest.mark.parametrize("event", EVENTS)
def test_each_cut_is_noticed(event: type[Event]) -> None:
    """A message cut after any number of bytes is corrupt, or foreign where the frame itself is cut."""
    full, bare = _MESSAGES[event]
    for message in (full, bare):
        for size in range(len(message)):
            expected = CorruptMessageError if size >= 10 else ForeignMessageError
            assert outcome(event, message[:size]) is expected


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("tail", [b"\x00", b"\x01\x02", b"\xc3\x01", bytes(100)])
def test_bytes_too_many_are_noticed(event: type[Event], tail: bytes) -> None:
    """A message with more bytes than its event is corrupt, be they zeros."""
    for message in _MESSAGES[event]:
        assert outcome(event, message + tail) is CorruptMessageError
    with pytest.raises(CorruptMessageError, match=f"{len(tail)} bytes too many after a {event.__name__}"):
        Codec(event).decode(_MESSAGES[event][0] + tail)


@pytest.mark.parametrize("event", EVENTS)
def test_each_flipped_bit_is_the_same_to_both_codecs(event: type[Event]) -> None:
    """Whichever bit of a message is flipped, both codecs refuse it alike or read the same event."""
    message = _MESSAGES[event][1]
    for position in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[position // 8] ^= 1 << position % 8
        outcome(event, bytes(flipped))


@pytest.mark.parametrize("event", EVENTS)
@moderate
@given(data=st.data())
def test_mutated_messages_never_crash(event: type[Event], data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled or put in anywhere: an event or an error, the same from both."""
    message = bytearray(data.draw(st.sampled_from(_MESSAGES[event])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(10, len(message)))
        end = data.draw(st.integers(start, min(start + 8, len(message))))
        message[start:end] = data.draw(
            st.binary(max_size=10) | st.just(bytes(message[start:end] * 2)) | st.sampled_from(_NASTY)
        )
    outcome(event, bytes(message))


_NASTY = [number(value) for value in (-1, -2, 2**31, 2**62, -(2**63), 2**63 - 1)] + [
    b"\x80" * 10 + b"\x00", b"\xff" * 9 + b"\x01", b"\xed\xa0\x80", b"\xc0\x80", b"\x02",
]  # fmt: skip


@given(st.binary(max_size=40))
@example(b"")
@example(b'{"request_id": "r"}')
@example(b"\x00\x00\x00\x00\x07")
@example(b"\xc3\x02" + bytes(30))
def test_any_bytes_are_an_error(raw: bytes) -> None:
    """Bytes of any other origin never become an event and never crash."""
    assert outcome(ProductionLabel, raw) in (ForeignMessageError, UnknownSchemaError)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "no bytes"),
        (b"", "no bytes"),
        (b"{}", "starts with 7b 7d, which is neither"),
        (b'{"request_id": "r"}', "starts with 7b 22 72 65, which is neither"),
        (b"\xc3", "starts with c3, which is neither"),
        (b"\xc3\x01\x02\x03", "starts with c3 01 02 03, which is neither"),
        (b"\x00\x00", "starts with 00 00, which is neither"),
        (b"Obj\x01", "starts with 4f 62 6a 01, which is neither"),
    ],
)
def test_foreign_bytes_are_named(message: bytes | None, reason: str) -> None:
    """JSON, nothing, half a frame or a file of Avro: the error says what the bytes start with."""
    assert outcome(ProductionLabel, message) is ForeignMessageError
    with pytest.raises(ForeignMessageError, match=reason):
        Codec(ProductionLabel).decode(message)


def test_an_unknown_fingerprint_is_named() -> None:
    """A frame of ours with another event's fingerprint, or nobody's, says which, and what was expected."""
    for stranger in (_MESSAGES[LedgerEntry][0], b"\xc3\x01" + bytes(range(8)) + b"body"):
        assert outcome(ProductionLabel, stranger) is UnknownSchemaError
    with pytest.raises(UnknownSchemaError, match="0001020304050607 is no known version of ProductionLabel"):
        Codec(ProductionLabel).decode(b"\xc3\x01" + bytes(range(8)))


def test_a_schema_id_needs_a_registry() -> None:
    """The Confluent wire format, where no registry is configured, is an error that says so."""
    message = registered_header(258) + _MESSAGES[ProductionLabel][0][10:]
    assert outcome(ProductionLabel, message) is UnknownSchemaError
    with pytest.raises(UnknownSchemaError, match=r"schema id 258 .* no Schema Registry is configured"):
        Codec(ProductionLabel).decode(message)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (label_message(request_id=b"\x02\xff"), "can't decode byte 0xff"),
        (label_message(request_id=b"\x06\xed\xa0\x80"), "can't decode byte 0xed"),
        (label_message(request_id=b"\x04\xc0\x80"), "can't decode byte 0xc0"),
        (label_message(request_id=number(2**62) + b"r"), "cut short"),
        (label_message(request_id=number(2**31) + b"r"), "cut short"),
        (label_message(request_id=number(-1) + b"r"), "cut short"),
        (label_message(request_id=number(-(2**63)) + b"r"), "cut short"),
        (label_message(score=number(2)), "branch of a union 2 of 2"),
        (label_message(score=number(-1) + bytes(8)), "branch of a union -1 of 2"),
        (label_message(vector=number(1) + number(2**62) + bytes(16)), "cut short"),
        (label_message(ranking=number(1) + number(2**40) + bytes(16)), "cut short"),
        (label_message(time=b"\x80" * 10 + b"\x00"), "more than ten bytes"),
        (label_message(time=number(2**63 - 1)), "date value out of range"),
        (label_message(time=number(-(2**63))), "date value out of range"),
    ],
)
def test_a_corrupt_body_says_what_is_wrong(message: bytes, reason: str) -> None:
    """Invalid UTF-8, lengths and counts beyond the message, branches that are none, impossible times."""
    assert outcome(ProductionLabel, message) is CorruptMessageError
    with pytest.raises(CorruptMessageError, match=f"not a ProductionLabel: .*{reason}"):
        Codec(ProductionLabel).decode(message)


def test_times_reach_from_year_1_to_9999() -> None:
    """The first and the last microsecond that Python knows are times; one beyond either is corrupt."""
    epoch, tick = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    first = (datetime(1, 1, 1, tzinfo=UTC) - epoch) // tick
    last = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - epoch) // tick
    assert "0001-01-01T00:00:00+00:00" in str(outcome(ProductionLabel, label_message(time=number(first))))
    assert "9999-12-31T23:59:59.999999" in str(outcome(ProductionLabel, label_message(time=number(last))))
    assert outcome(ProductionLabel, label_message(time=number(first - 1))) is CorruptMessageError
    assert outcome(ProductionLabel, label_message(time=number(last + 1))) is CorruptMessageError


@pytest.mark.parametrize(
    ("value", "good"), [(2**31 - 1, True), (-(2**31), True), (2**31, False), (2**40, False)]
)
def test_an_int_of_more_than_32_bits_is_corrupt(value: int, good: bool) -> None:
    """A partition that no int holds is refused, not cut to another number."""
    message = _MESSAGES[ShadowError][1]
    at = message.index(b"\x02t\x00\x00") + 2
    found = outcome(ShadowError, message[:at] + number(value) + message[at + 1 :])
    assert (f"'source_partition': {value}" in str(found)) if good else (found is CorruptMessageError)


def test_blocks_of_maps_and_arrays_may_come_in_any_legal_form() -> None:
    """Blocks with negative counts and their size, and several of them, are what other writers write."""
    item = b"\x02a" + number(7)
    plain = outcome(LedgerEntry, ledger_message(number(1) + item + b"\x00"))
    assert "'dropped': {'a': 7}" in str(plain)
    assert outcome(LedgerEntry, ledger_message(number(-1) + number(3) + item + b"\x00")) == plain
    vector = bytes(8) + bytes(7) + b"\x40"
    for blocks in (
        number(2) + vector + b"\x00",
        number(-2) + number(16) + vector + b"\x00",
        number(1) + vector[:8] + number(-1) + number(8) + vector[8:] + b"\x00",
        number(-(2**63)) + number(0) + number(2) + vector + b"\x00",  # no block to anyone
    ):
        found = outcome(ProductionLabel, label_message(vector=number(1) + blocks))
        assert "'vector': [0.0, 2.0]" in str(found)


def test_a_key_that_comes_twice_keeps_both_in_columns_and_the_last_in_a_mapping() -> None:
    """A map whose writer named a key twice is legal Avro: an Arrow map has both, a Python mapping the last.

    To refuse it would cost a look at each key of each message; whoever builds on columns lets the last win.
    """
    message = ledger_message(number(2) + b"\x02a" + number(1) + b"\x02a" + number(2) + b"\x00")
    one, columns = _CODECS[LedgerEntry]
    assert one.decode(message).dropped == {"a": 2}  # type: ignore[attr-defined]  # of a LedgerEntry
    batch = columns.decode([message]).batch
    assert batch.column("dropped").to_pylist() == [[("a", 1), ("a", 2)]]
    assert columns.encode(batch) == [message]


def _batch_of_300() -> tuple[list[bytes], list[ProductionLabel]]:
    time = datetime(2026, 5, 17, tzinfo=UTC)
    labels = [
        ProductionLabel(
            request_id=f"r{index}", model="m", label=Prediction(score=index / 3), observed_at=time
        )
        for index in range(300)
    ]
    return list(map(Codec(ProductionLabel).encode, labels)), labels


@pytest.mark.parametrize(
    "bad",
    [
        [0],
        [299],
        [150, 151],
        [0, 7, 8, 64, 299],
        [*range(0, 300, 2)],
        [*range(299)],
        [*range(300)],
        [],
    ],
)
def test_bad_messages_cost_no_good_one(bad: Sequence[int]) -> None:
    """However many messages of a batch are bad, each is found, with its place, and the rest kept in order."""
    messages: list[bytes | None]
    messages, labels = [*_batch_of_300()[0]], _batch_of_300()[1]
    for index in bad:
        message = messages[index]
        assert message is not None
        messages[index] = [
            message[:-1],
            message + b"\x00",
            b"{}",
            None,
            message[:11] + b"\xff" * 3 + message[14:],
        ][index % 5]
    codec = ColumnCodec(ProductionLabel)
    decoded = codec.decode(messages, place=lambda index: Place("production-labels", 1, 1000 + index))
    good = [index for index in range(300) if index not in bad]
    assert list(decoded.kept) == good
    assert [reject.index for reject in decoded.rejects] == list(bad)
    assert [reject.error.place for reject in decoded.rejects] == [
        Place("production-labels", 1, 1000 + index) for index in bad
    ]
    rows = [from_record(ProductionLabel, row) for row in to_rows(decoded.batch)]
    assert rows == [labels[index] for index in good]


def test_a_place_is_asked_for_only_where_a_message_is_bad() -> None:
    """Naming places costs good messages nothing, and none need be given."""
    messages, _ = _batch_of_300()
    asked: list[int] = []

    def place(index: int) -> Place:
        asked.append(index)
        return Place("t", 0, index)

    columns = ColumnCodec(ProductionLabel)
    assert len(columns.decode([*messages, messages[0][:-1]], place).rejects) == 1
    assert set(asked) == {300}
    (reject,) = columns.decode([b"{}"]).rejects
    assert reject.error.place is None
    assert str(reject.error).startswith("starts with 7b 7d")


class _Panic(BaseException):
    """What a native decoder's panic looks like from Python: no Exception."""


def test_a_panic_of_the_decoder_costs_only_the_message_that_caused_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the native decoder itself fails, the message is set apart and the others are decoded."""
    messages, _ = _batch_of_300()
    decode = pyruhvro.deserialize_array

    def panics(bodies: list[bytes], schema: str) -> object:
        if any(b"\x08r150" in body for body in bodies):
            raise _Panic("called `Option::unwrap()` on a `None` value")
        return decode(bodies, schema)

    monkeypatch.setattr(pyruhvro, "deserialize_array", panics)
    decoded = ColumnCodec(ProductionLabel).decode(messages, lambda _: _PLACE)
    assert list(decoded.kept) == [index for index in range(300) if index != 150]
    (reject,) = decoded.rejects
    assert isinstance(reject.error, CorruptMessageError)
    assert "not a ProductionLabel: called `Option::unwrap()`" in str(reject.error)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_being_told_to_stop_is_no_bad_message(
    stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a batch is decoded stops the process, and rejects nothing."""

    def interrupted(*_: object) -> None:
        raise stop

    monkeypatch.setattr(pyruhvro, "deserialize_array", interrupted)
    with pytest.raises(stop):
        ColumnCodec(ProductionLabel).decode(_batch_of_300()[0])


_BOMBS = """
import json, resource, sys
from shadowlane.schemas import Codec, LedgerEntry, ProductionLabel
from shadowlane.schemas.columns import ColumnCodec
codecs = {event.__name__: (Codec(event), ColumnCodec(event)) for event in (LedgerEntry, ProductionLabel)}
bombs = [(name, bytes.fromhex(text)) for name, text in json.load(sys.stdin)]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codecs["ProductionLabel"][1].decode([b"x"])
before = peak()
for name, message in bombs:
    one, columns = codecs[name]
    assert len(columns.decode([message]).rejects) == 1, name
    try:
        one.decode(message)
    except Exception:
        pass
    else:
        raise AssertionError(name)
print(peak() - before)
"""


def test_a_small_message_cannot_fill_the_memory() -> None:
    """Counts and lengths of billions in a few bytes are refused within 32 MiB."""
    bombs = []
    for count in (2**24, 2**31, 2**33, 2**62, -(2**24), -(2**40), 1 - 2**63):
        size = number(16) if count < 0 else b""
        bombs += [
            ("LedgerEntry", ledger_message(number(count) + size + b"\x00" * 64)),
            ("ProductionLabel", label_message(vector=number(1) + number(count) + size + bytes(64))),
            ("ProductionLabel", label_message(ranking=number(1) + number(count) + size + bytes(64))),
            ("ProductionLabel", label_message(request_id=number(count) + b"r" * 64)),
        ]
    process = subprocess.run(
        [sys.executable, "-c", _BOMBS],
        input=json.dumps([(name, message.hex()) for name, message in bombs]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(process.stdout) < 32 * 1024
