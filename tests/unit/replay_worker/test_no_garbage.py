"""A batch that is dealt with leaves nothing that only a collection of circular garbage would free."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from confluent_kafka import Message

from shadowlane.kafka import TopicNames
from shadowlane.process import rare_collections
from shadowlane.replay_worker import Isolation, ModelSource, Target, WorkerPlan
from shadowlane.replay_worker._replay import open_replay
from shadowlane.schemas import Codec, Features, ProductionRequest
from tests_support import request as a_request

MODEL = """
def fine(features):
    return features["n"]

def failing(features):
    return features["n"] / (features["n"] % 3)

class Together:
    def predict(self, batch):
        return batch.matrix(["n"])[:, 0]
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of models."""
    (tmp_path / "garbage_model.py").write_text(MODEL)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield "garbage_model"
    sys.modules.pop("garbage_model", None)


def message(number: int) -> Message:
    """A request as Kafka hands it over; one in seven is none."""
    event = a_request(number, features=Features.of({"n": float(number)}))
    value = Codec(ProductionRequest).encode(event) if number % 7 else b"\xc3\x01 poison"
    make: Any = Message
    made: Message = make(
        topic="t", partition=0, offset=number, key=b"k", value=value, timestamp=(1, 1_700_000_000_000)
    )
    return made


@pytest.mark.parametrize("kind", ["none", "process"])
@pytest.mark.parametrize("attribute", ["fine", "failing", "Together"])
def test_batches_leave_no_circular_garbage(model: str, kind: Any, attribute: str) -> None:
    """Collections are rare in the loop, and a cycle that holds a batch would hold megabytes until then."""
    plan = WorkerPlan(
        Target("fraud", "s"),
        ModelSource(f"python:{model}:{attribute}"),
        isolation=Isolation(kind),
        batch=attribute == "Together",
    )
    messages = [message(number) for number in range(60)]
    with open_replay(plan, TopicNames(), "w", sleep) as replay:
        replay.run(messages)
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                assert replay.run(messages).taken == 60
            found = gc.collect()
        finally:
            gc.enable()
    assert found == 0


def test_collections_are_rare_only_inside() -> None:
    """What the loop changes of the interpreter is as before when it ends."""
    before = gc.get_threshold()
    with rare_collections():
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
