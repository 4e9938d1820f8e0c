"""Hooks whose background thread does not run, and what they took; hooks on a broker inside librdkafka."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook
from shadowlane.producer._courier import Courier
from shadowlane.producer._encode import Observation
from shadowlane.schemas import Codec, ProductionRequest

#: Nobody listens there.
UNREACHABLE = KafkaSettings(bootstrap_servers="127.0.0.1:1")
#: librdkafka plays a broker that takes everything.
MOCK = KafkaSettings(client={"test.mock.num.brokers": "1"})

Taken = Callable[[Hook], list[ProductionRequest]]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep requests where the caller left them: no background thread starts."""
    monkeypatch.setattr(Courier, "_start", lambda _courier: None)


@pytest.fixture
def hook(still: None) -> Hook:
    """A hook whose requests stay in its queue."""
    return Hook(model="ranker", model_version="7", kafka=UNREACHABLE)


@pytest.fixture
def taken() -> Taken:
    """What a still hook would publish, encoded and decoded again."""

    def take(hook: Hook) -> list[ProductionRequest]:
        courier, codec, events = hook._courier, Codec(ProductionRequest), []
        while (observation := courier.intake.take()) is not None:
            assert isinstance(observation, Observation)
            events.append(codec.decode(courier._encoder.request(observation, now_ms=10**15).value))
        return events

    return take


@pytest.fixture
def delivering() -> Iterator[Hook]:
    """A hook whose every request is delivered."""
    with Hook(model="ranker", model_version="7", kafka=MOCK) as hook:
        yield hook


def run(script: str) -> str:
    """What a script prints; it must end well, and say nothing of a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Traceback" not in done.stderr
    return done.stdout
