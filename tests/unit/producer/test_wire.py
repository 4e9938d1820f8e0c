"""The one-pass writer: whatever it writes, the codec reads the same."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.producer._encode import EPOCH, Encoder, Observation, Subject
from shadowlane.producer._wire import RequestWriter, long
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest
from strategies import events, moderate, same

CODEC = Codec(ProductionRequest)
#: What most features are, and some of what sends a request the codec's own way.
quick = st.floats() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.text(max_size=70) | st.none()
other = st.integers() | st.lists(st.floats(), max_size=3) | st.sampled_from([np.float64(1.5), np.int32(7)])
predictions = st.none() | st.floats() | st.text() | st.integers() | st.lists(st.floats(), max_size=3)


def written(event: ProductionRequest, features: dict[str, Any], prediction: Any) -> ProductionRequest:
    """What a reader finds of a request that was handed over with these features and this prediction."""
    writer = RequestWriter(event.model, event.model_version, event.producer_id)
    micros = (event.event_time - EPOCH) // timedelta(microseconds=1)
    first, second = (
        writer.write(
            event.request_id,
            micros,
            event.entity_id,
            features,
            prediction,
            event.latency_ms,
            event.segments,
            event.context,
            event.sampling_rate,
            event.sequence,
        )
        for _ in range(2)  # once as a shape that nobody has met, once by its plan
    )
    assert first == second
    return CODEC.decode(second)


@moderate
@given(
    events(ProductionRequest), st.dictionaries(st.text(max_size=5), quick | other, max_size=25), predictions
)
def test_it_writes_what_the_codec_writes(
    event: ProductionRequest, features: dict[str, Any], prediction: Any
) -> None:
    """Any request, quick shapes and others: read back, it is what the typed classes say it is."""
    expected = replace(
        event,
        features=Features.of(features),
        prediction=None if prediction is None else Prediction.of(prediction),
    )
    assert same(written(event, features, prediction)) == same(expected)


@moderate
@given(events(ProductionRequest), st.dictionaries(st.text(max_size=5), quick, min_size=1, max_size=25))
def test_a_quick_shape_has_the_codecs_bytes(event: ProductionRequest, features: dict[str, Any]) -> None:
    """The maps come in the codec's order, too: one request has one form."""
    writer = RequestWriter(event.model, event.model_version, event.producer_id)
    for _ in range(2):
        parts: list[bytes] = []
        writer._add_features(parts, features)
        assert b"".join(parts) == writer._features.bytes_of(Features.of(features))
    assert len(writer._plans) == 1


@given(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([63, 64, -64, -65, 8191, 8192, 2**20, 2**63 - 1]))
def test_a_number_is_read_as_it_was_written(number: int) -> None:
    """Each length of a number, up to its ends."""
    writer = RequestWriter("m", "", "p")
    for _ in range(2):
        message = writer.write("r", 0, None, {"n": number}, None, None, None, None, 1.0, number)
        event = CODEC.decode(message)
        assert (event.sequence, event.features.integers) == (number, {"n": number})


@pytest.mark.parametrize("micros", [0, -1, -(2**40), 2**27 - 1, 2**27, 2**48, 1_795_262_400_123_456])
def test_a_time_is_read_as_it_was_written(micros: int) -> None:
    """Before 1970, around the step of its cached part, and now; also one after the other."""
    writer = RequestWriter("m", "", "p")
    for time in (micros, micros + 1, micros + 2**28, micros):
        message = writer.write("r", time, None, {}, None, None, None, None, 1.0, 0)
        assert CODEC.decode(message).event_time == EPOCH + timedelta(microseconds=time)


def test_an_integer_beyond_64_bits_is_json() -> None:
    """As the typed classes have it; the same shape with a smaller one is quick again."""
    writer = RequestWriter("m", "", "p")
    for number in (7, 2**63, 8, -(2**63) - 1):
        event = CODEC.decode(writer.write("r", 0, None, {"n": number}, 0.5, None, None, None, 1.0, 0))
        assert event.features.to_dict() == {"n": number}
    with pytest.raises(OverflowError):
        long(2**63)


def test_shapes_without_end_are_not_remembered() -> None:
    """A service that makes up feature names does not grow by its plans."""
    writer = RequestWriter("m", "", "p")
    for number in range(2000):
        for _ in range(2):
            event = CODEC.decode(
                writer.write("r", 0, None, {f"n{number}": 1.0}, 0.5, None, None, None, 1.0, 0)
            )
            assert event.features.numbers == {f"n{number}": 1.0}
    assert 0 < len(writer._plans) <= 256


@pytest.mark.parametrize("times", [1, 2])
def test_wide_shapes_without_end_take_little(times: int) -> None:
    """Not the number of shapes alone is bounded, but what their plans take."""
    writer = RequestWriter("m", "", "p")
    tracemalloc.start()
    try:
        for number in range(40):
            features = {f"a name of request {number}, feature {each}": 1 for each in range(2000)}
            for _ in range(times):
                writer.write("r", 0, None, features, 0.5, None, None, None, 1.0, 0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 16 * 1024 * 1024


def test_a_bool_in_a_segment_is_text() -> None:
    """True is "true", as for labels; what is not known is left out."""
    observation = Observation(0, "r", None, 0, {}, 1.0, None, {"vip": True, "n": 3, "gone": None}, None, 1.0)
    message = Encoder(Subject("m", ""), "p", "mark").request(observation, 1)
    assert CODEC.decode(message.value).segments == {"vip": "true", "n": "3"}
