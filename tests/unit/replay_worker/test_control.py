"""Second answers: the control beside a run, and the replica of a primary that said nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Message

from shadowlane.comparators import Comparator
from shadowlane.errors import ModelError, SettingsError
from shadowlane.kafka import TopicNames
from shadowlane.producer import is_sampled
from shadowlane.replay_worker import Control, FeatureBatch, Isolation, ModelSource, Target, WorkerPlan
from shadowlane.replay_worker._answers import Answered, in_order
from shadowlane.replay_worker._control import Aside, is_controlled
from shadowlane.replay_worker._primary import Replica
from shadowlane.replay_worker._replay import Outcome, Replay, open_replay
from shadowlane.replay_worker._requests import read_requests
from shadowlane.replay_worker.isolation import ModelHost, open_host
from shadowlane.schemas import Codec, Prediction, ProductionRequest, ShadowComparison, ShadowError
from tests_support import request

TOPICS = TopicNames()
MODEL = """
import os
import random
import time

def noisy(features):
    return random.random()

def steady(features):
    return features["amount"] / 10

def picky(features):
    if features["amount"] == 3.0:
        raise KeyError("history")
    return 0.5

def deadly(features):
    os._exit(7)

def clock(features):
    time.sleep(0.01)
    return time.time()

def raising(primary, shadow):
    raise ValueError("no rule")
"""
NONE = Isolation("none")
CODEC = Codec(ProductionRequest)


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "control_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "control_models", raising=False)


def source(name: str) -> ModelSource:
    """One of the models above."""
    return ModelSource(f"python:control_models:{name}")


def plan(shadow: str, **changes: Any) -> WorkerPlan:
    """Replay `fraud` on one of the models above, in this process where nothing else is said."""
    settings: dict[str, Any] = {"isolation": NONE, "comparator": Comparator.parse("score:0.01")} | changes
    return WorkerPlan(Target("fraud", "next", "2"), source(shadow), **settings)


def messages(count: int, **changes: Any) -> list[Message]:
    """Requests as they come from Kafka."""
    return [
        Message(
            topic=TOPICS.requests,
            partition=0,
            offset=number,
            key=b"k",
            value=CODEC.encode(request(number, **changes)),
            timestamp=(1, 1_000 + number),
        )
        for number in range(count)
    ]


@contextmanager
def replaying(the_plan: WorkerPlan) -> Iterator[Replay]:
    """A replay with all its models."""
    with open_replay(the_plan, TOPICS, "w", Event().wait) as replay:
        yield replay


def replayed(the_plan: WorkerPlan, batch: Sequence[Message]) -> Outcome:
    """What one batch comes to."""
    with replaying(the_plan) as replay:
        return replay.run(batch)


def comparisons(outcome: Outcome, run: str) -> list[ShadowComparison]:
    """The comparisons of a run that are sent."""
    sent = [each for each in outcome.outgoing if each.topic == TOPICS.comparisons]
    events = [Codec(ShadowComparison).decode(value) for each in sent for value in each.values]
    return [event for event in events if event.run == run]


def errors(outcome: Outcome, run: str) -> list[ShadowError]:
    """The errors of a run that are sent."""
    sent = [each for each in outcome.outgoing if each.topic == TOPICS.errors]
    events = [Codec(ShadowError).decode(value) for each in sent for value in each.values]
    return [event for event in events if event.run == run]


def test_a_noisy_shadow_disagrees_with_itself_and_a_steady_one_does_not() -> None:
    """Asked twice, the answers of two loads stand side by side as run `control`."""
    noisy = comparisons(replayed(plan("noisy", control=Control(1.0)), messages(100)), "control")
    steady = comparisons(replayed(plan("steady", control=Control(1.0)), messages(100)), "control")
    assert len(noisy) == len(steady) == 100
    assert sum(not each.agreement for each in noisy) > 80
    assert all(each.agreement for each in steady)


def test_the_lag_ends_where_the_model_is_asked() -> None:
    """What the model takes, for this request and those before it in its batch, is no part of it."""
    outcome = replayed(plan("clock", control=Control(1.0)), messages(3))
    for run in ("live", "control"):
        sent = comparisons(outcome, run)
        asked = [each.event_time + timedelta(milliseconds=each.replay_lag_ms) for each in sent]
        first = min(each.shadow_prediction.score or 0.0 for each in comparisons(outcome, "live"))
        assert len(sent) == 3
        assert all(each.timestamp() < first for each in asked)


def test_the_first_answer_stands_in_the_primarys_place() -> None:
    """The control's primary is what the run itself got, with its time; the service's answer is not in it."""
    outcome = replayed(plan("noisy", control=Control(1.0)), messages(20))
    firsts = {each.request_id: each for each in comparisons(outcome, "live")}
    for second in comparisons(outcome, "control"):
        first = firsts[second.request_id]
        assert second.primary_prediction == first.shadow_prediction
        assert second.primary_latency_ms == first.shadow_latency_ms
        assert second.primary_source == "replayed"
        assert (second.shadow, second.shadow_version, second.source_offset) == (
            "next",
            "2",
            first.source_offset,
        )
        assert first.primary_source == "observed"


def test_with_the_primarys_own_model_the_control_sets_it_beside_what_the_service_said() -> None:
    """The observed prediction against a second load of the primary: production's own noise."""
    outcome = replayed(plan("noisy", control=Control(1.0, source("steady"))), messages(20))
    controls = comparisons(outcome, "control")
    assert len(controls) == 20
    assert all(each.agreement and each.primary_source == "observed" for each in controls)
    assert {each.primary_latency_ms for each in controls} == {1.5}
    assert {each.shadow_version for each in controls} == {""}


def test_a_control_beside_a_named_run_is_named_after_it() -> None:
    """Two runs' controls never meet."""
    assert Target("fraud", "next").control == "control"
    assert Target("fraud", "next", run="march").control == "march-control"
    with pytest.raises(SettingsError, match="control run name"):
        _ = Target("fraud", "next", run="x" * 125).control


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_control_is_a_share_of_the_requests(share: float) -> None:
    """Anything but a share above 0 is an error."""
    with pytest.raises(SettingsError, match="above 0, up to 1"):
        Control(share)


def test_a_smaller_share_lies_in_a_larger_one_and_across_what_the_hook_sampled() -> None:
    """The same requests each time; of those that a hook published, no other share than of all."""
    ids = [f"request-{number}" for number in range(20_000)]
    small, large = ({each for each in ids if is_controlled(each, share)} for share in (0.05, 0.2))
    assert small < large
    published = [each for each in ids if is_sampled(each, 0.1)]
    of_published = sum(is_controlled(each, 0.05) for each in published) / len(published)
    assert abs(of_published - 0.05) < 0.01


def test_only_the_share_is_answered_twice() -> None:
    """The control's requests are those that the function of the id says."""
    outcome = replayed(plan("steady", control=Control(0.2)), messages(200))
    chosen = {f"request-{number}" for number in range(200) if is_controlled(f"request-{number}", 0.2)}
    assert {each.request_id for each in comparisons(outcome, "control")} == chosen
    assert len(comparisons(outcome, "live")) == 200


@pytest.mark.parametrize(
    ("model", "isolation", "count", "stage"),
    [("picky", NONE, 4, "predict"), ("deadly", Isolation(), 1, "crash")],
)
def test_a_control_that_fails_is_rows_of_its_own_and_nothing_to_the_run(
    model: str, isolation: Isolation, count: int, stage: str
) -> None:
    """Exceptions and dead processes of the control are errors of run control; the run counts none."""
    control = plan("steady", control=Control(1.0, source(model)), isolation=isolation)
    outcome = replayed(control, messages(count))
    [failed] = errors(outcome, "control")
    assert (outcome.compared, len(outcome.failed), outcome.errors.total()) == (count, 0, 0)
    assert not errors(outcome, "live")
    assert len(comparisons(outcome, "control")) == count - 1
    assert (failed.stage, failed.source_offset) == (stage, count - 1)


def test_a_control_that_cannot_be_loaded_is_told_before_a_message_is_read() -> None:
    """As with the shadow itself."""
    with (
        pytest.raises(ModelError, match="nowhere"),
        replaying(plan("steady", control=Control(0.1, ModelSource("python:nowhere:predict")))),
    ):
        pass


class Slow:
    """A model's host that answers when it is let, and only so many requests of a batch."""

    names: Sequence[str] = ()
    wants_context, restarts, gpu_memory_mb = False, 0, None

    def __init__(self, host: ModelHost, most: int = 10**9) -> None:
        self.denied: Counter[str] = Counter()
        self.may_answer, self.most = Event(), most
        self._host = host

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer some of it, once allowed."""
        self.may_answer.wait(60)
        answered = self._host.run(batch, give_up)
        done = min(self.most, len(batch))
        return Answered(in_order([answered.answers], done), answered.failures, done)

    def close(self) -> None:
        """Let go of the model."""


def test_nobody_waits_long_for_a_control_that_hangs() -> None:
    """It is late once, left alone for a while, and asked again when it may have come back."""
    now = [0.0]
    slow = Slow(open_host(source("steady"), NONE, batch=False, wait=Event().wait))
    aside = Aside(slow, patience=0.01, clock=lambda: now[0])
    asked = read_requests(messages(3), "fraud").requests

    def failures() -> set[str]:
        return {failure.error_type for _, failure in aside.ask(asked).failures}

    try:
        assert failures() == {"ControlLate"}
        now[0] = 1_000.0
        assert failures() == {"ControlResting"}  # the first batch still holds it up
        slow.may_answer.set()
        patient = Aside(slow, clock=lambda: now[0])
        assert patient.ask(asked).answers.num_rows == 3
        patient.close()
    finally:
        slow.may_answer.set()
        aside.close()


def test_what_a_control_does_not_come_to_is_late() -> None:
    """A batch that is cut leaves no request without a row."""
    slow = Slow(open_host(source("steady"), NONE, batch=False, wait=Event().wait), most=2)
    slow.may_answer.set()
    aside = Aside(slow)
    answered = aside.ask(read_requests(messages(5), "fraud").requests)
    aside.close()
    assert (answered.answers.num_rows, answered.done) == (2, 5)
    assert [row for row, failure in answered.failures if failure.error_type == "ControlLate"] == [2, 3, 4]


def test_a_replica_answers_where_the_request_says_nothing() -> None:
    """Such a comparison says so, and tells no latency of the primary's: it is not production's."""
    bare = messages(4, prediction=None)
    both = [*bare[:2], *messages(4)[2:]]
    outcome = replayed(plan("picky", primary=source("steady")), both)
    [first, second, third] = comparisons(outcome, "live")
    assert [each.primary_source for each in (first, second, third)] == ["replayed", "replayed", "observed"]
    assert [each.primary_latency_ms for each in (first, second, third)] == [None, None, 1.5]
    assert second.primary_prediction == Prediction(score=0.1)
    assert (outcome.compared, len(outcome.failed), outcome.errors) == (3, 1, {"predict": 1})


def test_the_primarys_advice_names_the_primarys_options(tmp_path: Path) -> None:
    """To follow advice about the shadow's own options would break the shadow's pin."""
    (tmp_path / "ridge.joblib").write_bytes(b"a pickle, if anybody were to open it")
    the_plan = plan("steady", primary=ModelSource(f"sklearn:{tmp_path / 'ridge.joblib'}"))
    with pytest.raises(ModelError) as caught, replaying(the_plan):
        pass
    assert str(caught.value).startswith("the primary's model (--primary-load): ")
    assert "--primary-allow-pickle --primary-sha256 " in str(caught.value)


def test_answers_that_cannot_be_compared_count_as_failed() -> None:
    """A rule of one's own that always raises must reach the ceiling; a request that says nothing must not."""
    broken = Comparator.parse("python:control_models:raising")
    both = [*messages(3), *messages(5, prediction=None)[3:]]
    outcome = replayed(plan("steady", comparator=broken), both)
    assert (outcome.failed, outcome.errors) == ([0, 1, 2], {"compare": 5})


def test_without_a_replica_a_request_without_prediction_stays_an_error() -> None:
    """There is nothing to compare with."""
    [error] = errors(replayed(plan("steady"), messages(1, prediction=None)), "live")
    assert (error.stage, error.error_type) == ("compare", "NoPrimaryPrediction")


def test_a_replica_that_fails_is_named_in_the_error() -> None:
    """Whoever reads it must not look for the fault in the shadow."""
    outcome = replayed(plan("steady", primary=source("picky")), messages(5, prediction=None))
    [error] = errors(outcome, "live")
    assert (error.stage, error.error_type, error.request_id) == ("predict", "KeyError", "request-3")
    assert error.message == "the primary's replica: 'history'"
    assert error.traceback
    assert (outcome.compared, len(outcome.failed), outcome.taken) == (4, 1, 5)


def test_what_a_replica_does_not_come_to_is_read_again() -> None:
    """A slow replica cuts the batch as a slow shadow does: no request is an error for that."""
    host = open_host(source("steady"), NONE, batch=False, wait=Event().wait)
    slow = Slow(host, most=2)
    slow.may_answer.set()
    replay = Replay(plan("steady"), host, TOPICS, "w", replica=Replica(slow))
    both = [*messages(2), *messages(6, prediction=None)[2:]]
    outcome = replay.run(both)
    assert (outcome.taken, outcome.compared, outcome.asked, outcome.errors.total()) == (4, 4, 4, 0)
    assert [each.source_offset for each in comparisons(outcome, "live")] == [0, 1, 2, 3]


def test_the_control_takes_only_what_the_batch_came_to() -> None:
    """Requests that are read again are not controlled twice."""
    host = open_host(source("steady"), NONE, batch=False, wait=Event().wait)
    slow = Slow(host, most=3)
    slow.may_answer.set()
    with open_replay(plan("steady", control=Control(1.0)), TOPICS, "w", Event().wait) as whole:
        replay = Replay(plan("steady"), slow, TOPICS, "w", control=whole._control)
        outcome = replay.run(messages(8))
    assert np.all([each.source_offset < 3 for each in comparisons(outcome, "control")])
    assert len(comparisons(outcome, "control")) == outcome.taken == 3
