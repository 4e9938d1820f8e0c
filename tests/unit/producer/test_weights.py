"""What a waiting request weighs."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from shadowlane.producer._copies import copied_mapping
from shadowlane.producer._encode import Deferred, Observation, Result
from shadowlane.producer._kept import Kept, Start
from shadowlane.producer._weights import weight
from shadowlane.schemas import Prediction, ShadowError

#: Features as a service meets them, each made anew, so that nothing of it is shared.
SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "numbers": lambda: json.loads(json.dumps({f"feature number {i}": i / 7 for i in range(30)})),
    "texts": lambda: {f"word {i}": f"some words, say {i}" for i in range(30)},
    "a long text": lambda: {"text": "x" * 100_000},
    "a long text of wide characters": lambda: {"text": "\N{GRINNING FACE}" * 20_000},
    "a vector": lambda: {"vector": [i / 7 for i in range(4000)]},
    "a vector with a gap": lambda: {"vector": [i / 7 for i in range(4000)] + [None]},
    "an array": lambda: {"vector": np.arange(4000.0)},
    "half an array": lambda: {"vector": np.arange(8000.0)[::2]},
    "a matrix": lambda: {"matrix": [[i / 7 for i in range(60)] for _ in range(60)]},
    "an array of objects": lambda: {"objects": np.array([f"a text {i}" for i in range(1000)], dtype=object)},
    "many texts": lambda: {"tokens": [f"token {i}" for i in range(1000)]},
    "texts and numbers": lambda: {"mixed": [each for i in range(500) for each in (f"token {i}", i / 7)]},
    "NumPy's text": lambda: {"text": np.str_("x" * 100_000)},
    "counts by long names": lambda: {
        "by page": {f"https://example.com/{'a' * 200}/{i}": i for i in range(300)}
    },
    "numbers by number": lambda: {"by number": {i: i / 7 for i in range(300)}},
    "a prediction's vector": lambda: {"p": Prediction(vector=[i / 7 for i in range(4000)])},
    "bytes, which no event has": lambda: {"image": bytes(bytearray(100_000))},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_weight_is_about_the_memory_that_it_takes(shape: Callable[[], dict[str, Any]]) -> None:
    """Never less than half of what Python allocates for the copy and its values, nor far more."""
    copied_mapping("features", shape())  # whatever is made once is made
    tracemalloc.start()
    try:
        item = observation(copied_mapping("features", shape()))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 2 < weight(item) < taken * 4


def test_what_is_deferred_weighs_what_its_owner_said() -> None:
    """The bytes that a closure holds on to are known to whoever made it."""
    few, many = (weight(Deferred(0, dict, size)) for size in (0, 100_000))
    assert many - few == 100_000


def test_a_result_weighs_what_its_event_holds() -> None:
    """The text of a failure counts."""
    few, many = (weight(Result(failure("x" * size), "key")) for size in (0, 100_000))
    assert many - few == 100_000


def observation(features: dict[str, Any]) -> Observation:
    """A request with these features."""
    return Observation(0, None, None, 0, features, 0.5, None, None, None, 1.0)


def failure(message: str) -> ShadowError:
    """A shadow's failure with this message."""
    now = datetime.now(UTC)
    return ShadowError(
        model="ranker",
        shadow="next",
        source_topic="t",
        source_partition=0,
        source_offset=0,
        stage="predict",
        error_type="KeyError",
        message=message,
        failed_at=now,
    )


def test_a_body_in_small_chunks_weighs_its_chunks() -> None:
    """An answer that streams a word at a time takes many times its bytes."""
    bodies = [Kept(Start("POST", "/", "", (), {}), 10**6) for _ in range(2)]
    chunks = [bytes(bytearray(8)) for _ in range(1000)]
    bodies[0].gives(b"".join(chunks))
    for chunk in chunks:
        bodies[1].gives(chunk)
    assert bodies[1].size - bodies[0].size >= 1000 * (sys.getsizeof(chunks[0]) - 8)
