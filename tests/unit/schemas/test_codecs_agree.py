"""One at a time or as columns: the same events, the same bytes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.schemas import (
    Codec,
    Event,
    Features,
    Prediction,
    ProductionLabel,
    ProductionRequest,
    from_record,
    registered_header,
    to_record,
)
from shadowlane.schemas.columns import ColumnCodec, arrow_schema
from strategies import EVENTS, events, moderate, same, to_batch, to_rows

_TIME = datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.mark.parametrize("event", EVENTS)
@moderate
@given(data=st.data())
def test_columns_read_what_one_at_a_time_writes(event: type[Event], data: st.DataObject) -> None:
    """Messages encoded one at a time become columns whose rows are the events again."""
    written = data.draw(st.lists(events(event), min_size=1, max_size=4))
    decoded = ColumnCodec(event).decode(list(map(Codec(event).encode, written)))
    assert decoded.rejects == []
    assert list(decoded.kept) == list(range(len(written)))
    assert [same(from_record(event, row)) for row in to_rows(decoded.batch)] == list(map(same, written))


@pytest.mark.parametrize("event", EVENTS)
@moderate
@given(data=st.data())
def test_one_at_a_time_reads_what_columns_write(event: type[Event], data: st.DataObject) -> None:
    """Columns are encoded to the very bytes that one at a time writes, and it reads them back."""
    written = data.draw(st.lists(events(event), min_size=1, max_size=4))
    codec = Codec(event)
    messages = ColumnCodec(event).encode(to_batch(arrow_schema(event), list(map(to_record, written))))
    assert messages == list(map(codec.encode, written))
    assert [same(codec.decode(message)) for message in messages] == list(map(same, written))


@pytest.mark.parametrize("event", EVENTS)
@moderate
@given(data=st.data())
def test_decoded_columns_encode_to_the_same_bytes(event: type[Event], data: st.DataObject) -> None:
    """What was decoded as columns is written again byte for byte."""
    messages = list(map(Codec(event).encode, data.draw(st.lists(events(event), max_size=4))))
    columns = ColumnCodec(event)
    assert columns.encode(columns.decode(messages).batch) == messages


@pytest.mark.parametrize("event", EVENTS)
def test_decoded_columns_have_the_schema_promised(event: type[Event]) -> None:
    """A batch has the columns of `arrow_schema`, also when nothing is in it."""
    nothing = ColumnCodec(event).decode([])
    assert (nothing.batch.schema, nothing.batch.num_rows) == (arrow_schema(event), 0)
    assert (nothing.kept, nothing.rejects) == ([], [])
    assert ColumnCodec(event).encode(nothing.batch) == []


def test_times_are_utc_in_columns() -> None:
    """Times carry their zone, so that nobody takes them for local time."""
    assert arrow_schema(ProductionRequest).field("event_time").type == pa.timestamp("us", tz="UTC")


def test_a_time_in_another_zone_is_the_same_instant() -> None:
    """An aware time of any zone arrives as that instant in UTC."""
    there = _TIME.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    label = ProductionLabel(request_id="r", model="m", label=Prediction(score=1.0), observed_at=there)
    decoded = Codec(ProductionLabel).decode(Codec(ProductionLabel).encode(label))
    assert decoded.observed_at == _TIME
    assert decoded.observed_at.utcoffset() == timedelta(0)


def test_big_values_pass_both_codecs() -> None:
    """A hundred thousand numbers, ten thousand features and a megabyte of text are still one request."""
    big = ProductionRequest(
        request_id="r" * 1_000_000,
        event_time=_TIME,
        model="m",
        features=Features(
            numbers={f"feature {index}": index / 7 for index in range(10_000)},
            vectors={"embedding": [index * 1e-3 for index in range(100_000)]},
            missing=[f"missing {index}" for index in range(10_000)],
        ),
    )
    message = Codec(ProductionRequest).encode(big)
    columns = ColumnCodec(ProductionRequest)
    assert Codec(ProductionRequest).decode(message) == big
    assert columns.encode(columns.decode([message, message]).batch) == [message, message]


def test_numbers_that_are_none_survive() -> None:
    """NaN, the infinities and minus zero are values like others, with null beside them."""
    numbers = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0}
    request = ProductionRequest(
        request_id="r", event_time=_TIME, model="m", features=Features(numbers=numbers), latency_ms=math.nan
    )
    (row,) = to_rows(ColumnCodec(ProductionRequest).decode([Codec(ProductionRequest).encode(request)]).batch)
    assert repr(row["features"]["numbers"]) == repr(numbers)
    assert math.isnan(row["latency_ms"])
    assert row["prediction"] is None


def test_tuples_are_as_good_as_lists() -> None:
    """A vector or ranking given as a tuple is encoded as one given as a list."""
    codec = Codec(ProductionLabel)

    def message(prediction: Prediction) -> bytes:
        return codec.encode(ProductionLabel(request_id="r", model="m", label=prediction, observed_at=_TIME))

    assert message(Prediction(vector=(1.0, 2.0), ranking=("a", "b"))) == message(
        Prediction(vector=[1.0, 2.0], ranking=["a", "b"])
    )


@pytest.mark.parametrize(
    ("label", "field"),
    [
        (ProductionLabel(request_id="\ud800", model="m", label=Prediction(), observed_at=_TIME), "surrogate"),
        (ProductionLabel(request_id=5, model="m", label=Prediction(), observed_at=_TIME), "request_id"),  # type: ignore[arg-type]
        (ProductionLabel(request_id="r", model="m", label=Prediction(score="x"), observed_at=_TIME), "score"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_form_is_refused_when_encoded(label: ProductionLabel, field: str) -> None:
    """A value that the schema has no form for raises at its writer, not at each reader."""
    with pytest.raises((TypeError, ValueError), match=field):
        Codec(ProductionLabel).encode(label)


def test_a_header_of_ones_own_goes_before_each_body() -> None:
    """With a Schema Registry's id as header both codecs write the Confluent wire format."""
    header = registered_header(7)
    label = ProductionLabel(request_id="r", model="m", label=Prediction(score=1.0), observed_at=_TIME)
    message = Codec(ProductionLabel, header=header).encode(label)
    columns = ColumnCodec(ProductionLabel, header=header)
    plain = Codec(ProductionLabel).encode(label)
    assert message == header + plain[10:]
    assert columns.encode(columns.decode([plain]).batch) == [message]
