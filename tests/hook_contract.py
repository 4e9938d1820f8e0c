"""What holds for a hook wherever its messages go: one suite, for the real one and for the one in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from threading import Thread
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest

from inputs import Colour, Item, Row
from shadowlane.kafka import TopicNames
from shadowlane.producer import Hook, Limits, Results, Sampling, SyncModelRouter, is_sampled
from shadowlane.producer._encode import Result
from shadowlane.producer.testing import Published
from shadowlane.schemas import (
    Codec,
    EventT,
    Features,
    LedgerEntry,
    Prediction,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)

GENEROUS = 60.0
TOPICS = TopicNames()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
CANARY = "canary-4929"

PLAIN = {"a": 1.5, "b": 2, "c": True, "d": "grüße", "e": None}
NESTED = {"a": {"b": [1, {"c": "x"}]}, "d": ["x"]}
INPUTS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "Python": (PLAIN, PLAIN),
    "nested": (NESTED, NESTED),
    "NumPy": (
        {"a": np.float32(0.5), "b": np.int64(2), "c": np.bool_(True), "d": np.array([1.0, 2.0])},
        {"a": 0.5, "b": 2, "c": True, "d": [1.0, 2.0]},
    ),
    "pandas": (pd.Series({"a": 1.5, "b": 2.0}), {"a": 1.5, "b": 2.0}),
    "a dataclass": (Row("DE", Colour.RED), {"country": "DE", "colour": "red"}),
    "a pydantic model": (Item(sku="x"), {"sku": "x", "price": None}),
}
PREDICTIONS: Mapping[str, tuple[Any, Prediction | None]] = {
    "a score": (0.87, Prediction(score=0.87)),
    "a label": ("spam", Prediction(label="spam")),
    "a flag": (True, Prediction(label="true")),
    "a vector": ([0.1, 0.9], Prediction(vector=[0.1, 0.9])),
    "a ranking": (["b", "a"], Prediction(ranking=["b", "a"])),
    "both": ({"label": "spam", "score": 0.9}, Prediction(label="spam", score=0.9)),
    "NumPy's": (np.float64(0.5), Prediction(score=0.5)),
    "none": (None, None),
}
NOT_ENCODABLE: Mapping[str, dict[str, Any]] = {
    "a value": {"features": {"a": object()}},
    "features": {"features": None},
    "a prediction": {"prediction": object()},
    "a latency": {"latency_ms": "fast"},
    "a time": {"event_time": "today"},
    "segments": {"segments": [1]},
}


class MakeHook(Protocol):
    """Makes hooks of one test, of the model `ranker` in version 7, and closes them."""

    def __call__(self, **settings: Any) -> Hook:
        """A hook."""
        ...


#: What is held, of what a hook published, under a topic's name; it flushes first.
Held = Callable[[Hook, str], list[Published]]


class HookContract:
    """Inherit it, with fixtures `make_hook` and `held` of your own."""

    @pytest.fixture
    def make_hook(self) -> MakeHook:
        """How to make a hook."""
        raise NotImplementedError

    @pytest.fixture
    def held(self) -> Held:
        """How to read what it published."""
        raise NotImplementedError

    @pytest.fixture
    def hook(self, make_hook: MakeHook) -> Hook:
        """A hook that publishes everything."""
        return make_hook()

    @pytest.fixture
    def requests(self, held: Held) -> Callable[[Hook], list[ProductionRequest]]:
        """Reads the requests, in the order of their numbers."""

        def read(hook: Hook) -> list[ProductionRequest]:
            found = decoded(ProductionRequest, held(hook, TOPICS.requests))
            return sorted(found, key=lambda event: event.sequence)

        return read

    def test_each_argument_is_a_field(self, hook: Hook, requests: Requests) -> None:
        """All that publish takes arrives."""
        at = recently()
        hook.publish(
            features={"a": 1.5, "b": None},
            prediction=0.87,
            latency_ms=12.5,
            request_id="r-1",
            entity_id="user-1",
            segments={"country": "DE", "tier": 3, "vip": True, "gone": None},
            event_time=at,
            context={"session": "s-1"},
        )
        assert requests(hook) == [
            ProductionRequest(
                request_id="r-1",
                event_time=at,
                model="ranker",
                model_version="7",
                entity_id="user-1",
                features=Features(numbers={"a": 1.5}, missing=["b"]),
                prediction=Prediction(score=0.87),
                latency_ms=12.5,
                segments={"country": "DE", "tier": "3", "vip": "true"},
                context={"session": "s-1"},
                sampling_rate=1.0,
                producer_id=hook.stats().producer_id,
                sequence=0,
            )
        ]

    @pytest.mark.parametrize("kind", INPUTS)
    def test_features_of_each_kind(self, hook: Hook, requests: Requests, kind: str) -> None:
        """Whatever a service has for features arrives as what it holds."""
        given, expected = INPUTS[kind]
        hook.publish(features=given, prediction=1.0)
        assert [event.features.to_dict() for event in requests(hook)] == [expected]

    @pytest.mark.parametrize("kind", PREDICTIONS)
    def test_predictions_of_each_kind(self, hook: Hook, requests: Requests, kind: str) -> None:
        """Whatever a model answers arrives as the kind of prediction that it is."""
        given, expected = PREDICTIONS[kind]
        hook.publish(features={}, prediction=given)
        assert [event.prediction for event in requests(hook)] == [expected]

    def test_what_is_not_given_is_made(self, hook: Hook, requests: Requests) -> None:
        """Ids are made, and differ; the time is now; requests are numbered; ids need not be text."""
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        hook.publish(features={}, prediction=1.0)
        hook.publish(features={}, prediction=1.0, request_id="", entity_id="")
        hook.publish(features={}, prediction=1.0, request_id=7, entity_id=0)
        first, second, third = requests(hook)
        assert first.request_id
        assert first.request_id != second.request_id
        assert before <= first.event_time <= datetime.now(UTC)
        assert [event.sequence for event in (first, second, third)] == [0, 1, 2]
        assert second.entity_id is None
        assert (third.request_id, third.entity_id) == ("7", "0")

    def test_what_changes_later_is_published_as_it_was(self, hook: Hook, requests: Requests) -> None:
        """Features, segments, prediction, context: copies, made at the call."""
        features: dict[str, Any] = {"list": [1.0], "nested": {"a": [1]}, "array": np.array([1.0])}
        prediction, segments, context = [0.1], {"country": "DE"}, {"session": "s-1"}
        hook.publish(features=features, prediction=prediction, segments=segments, context=context)
        features["list"].append(2.0)
        features["nested"]["a"].append(2)
        features["array"][:] = 0.0
        prediction.append(1.0)
        segments["country"] = context["session"] = "other"
        [event] = requests(hook)
        assert event.features.to_dict() == {"list": [1.0], "nested": {"a": [1]}, "array": [1.0]}
        assert event.prediction == Prediction(vector=[0.1])
        assert (event.segments, event.context) == ({"country": "DE"}, {"session": "s-1"})

    def test_a_messages_key_is_its_entity(self, hook: Hook, held: Held) -> None:
        """Or its own id, where it is about nobody."""
        hook.publish(features={}, prediction=1.0, request_id="r-1", entity_id="user-1")
        hook.publish(features={}, prediction=1.0, request_id="r-2")
        assert {message.key for message in held(hook, TOPICS.requests)} == {"user-1", "r-2"}

    def test_one_entitys_requests_keep_their_order(self, hook: Hook, held: Held) -> None:
        """Each entity's arrive in the order in which they were published."""
        for number in range(300):
            hook.publish(features={}, prediction=1.0, entity_id=f"user-{number % 7}")
        orders: dict[str, list[int]] = {}
        for message in held(hook, TOPICS.requests):
            [event] = decoded(ProductionRequest, [message])
            orders.setdefault(message.key, []).append(event.sequence)
        assert orders == {f"user-{number}": list(range(number, 300, 7)) for number in range(7)}

    def test_a_messages_time_is_the_requests(self, hook: Hook, held: Held) -> None:
        """In milliseconds, and no later than now; a time without a zone is UTC."""
        at, ahead = recently(), datetime.now(UTC) + timedelta(days=400)
        for number, time in enumerate((at, at.replace(tzinfo=None), at.astimezone(TOKYO), ahead)):
            hook.publish(features={}, prediction=1.0, event_time=time, request_id=str(number))
        found = {message.key: message for message in held(hook, TOPICS.requests)}
        milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
        assert [found[key].timestamp_ms for key in "012"] == [milliseconds] * 3
        assert milliseconds < found["3"].timestamp_ms <= (datetime.now(UTC) - EPOCH).total_seconds() * 1000
        events = {event.request_id: event for event in decoded(ProductionRequest, found.values())}
        assert [events[key].event_time for key in "0123"] == [at, at, at, ahead]

    def test_the_callers_trace_is_a_header(self, hook: Hook, held: Held) -> None:
        """Where the context has one as the W3C writes it, and in no other case."""
        for number, context in enumerate(({"traceparent": TRACE}, {"traceparent": "no trace"}, None)):
            hook.publish(features={}, prediction=1.0, request_id=str(number), context=context)
        found = {message.key: message.headers for message in held(hook, TOPICS.requests)}
        assert found == {"0": {"traceparent": TRACE.encode()}, "1": {}, "2": {}}

    def test_sampling_chooses_by_entity(self, make_hook: MakeHook, requests: Requests) -> None:
        """A rate's requests are those of its entities, and say the rate."""
        hook, entities = make_hook(sampling=0.3), [f"user-{number}" for number in range(100)]
        for entity in entities:
            hook.publish(features={}, prediction=1.0, entity_id=entity)
        events = requests(hook)
        assert [event.entity_id for event in events] == [each for each in entities if is_sampled(each, 0.3)]
        assert {event.sampling_rate for event in events} == {0.3}
        assert hook.stats().sampled_out == 100 - len(events)

    def test_sampling_by_segment_and_session(self, make_hook: MakeHook, requests: Requests) -> None:
        """A rare cohort has a rate of its own, and a name of the context may decide."""
        hook = make_hook(sampling=Sampling(0.0, {"country=BR": 1.0}, by="session"))
        for country in ("DE", "BR", "FR"):
            hook.publish(features={}, prediction=1.0, segments={"country": country}, context={"session": "s"})
        [event] = requests(hook)
        assert (event.segments, event.sampling_rate) == ({"country": "BR"}, 1.0)

    def test_the_control_topic_is_optional(self, make_hook: MakeHook, requests: Requests) -> None:
        """A hook that follows it has the given rates as long as it says nothing."""
        hook = make_hook(sampling=Sampling(1.0, control=True))
        hook.publish(features={}, prediction=1.0)
        assert len(requests(hook)) == 1

    def test_observe_times_the_primary(self, hook: Hook, requests: Requests) -> None:
        """What the block sets is the prediction; what it raises passes on, and is counted."""
        with hook.observe({"a": 1.0}, entity_id="user-1", segments={"country": "DE"}) as call:
            call.prediction = 0.5
        with pytest.raises(ValueError, match="no"), hook.observe({"a": 1.0}):
            raise ValueError("no")
        with hook.observe({"a": 1.0}):
            pass
        [event] = requests(hook)
        assert event.prediction == Prediction(score=0.5)
        assert (event.entity_id, event.segments) == ("user-1", {"country": "DE"})
        assert event.latency_ms is not None
        assert event.latency_ms >= 0
        assert (hook.stats().primary_failed, hook.stats().dropped) == (1, {"no_prediction": 1})

    def test_wrap_observes_each_call(self, hook: Hook, requests: Requests) -> None:
        """Of a sync and of an async function, which answer as they did."""

        @hook.wrap
        def predict(features: dict[str, float]) -> float:
            return features["a"] * 2

        @hook.wrap(features=lambda user: {"a": user}, entity_id=lambda user: f"user-{user}")
        async def predict_later(user: int) -> str:
            await asyncio.sleep(0)
            return "yes"

        assert predict({"a": 0.25}) == 0.5
        assert asyncio.run(predict_later(3)) == "yes"
        first, second = requests(hook)
        assert (first.features.to_dict(), first.prediction) == ({"a": 0.25}, Prediction(score=0.5))
        assert (second.entity_id, second.prediction) == ("user-3", Prediction(label="yes"))

    def test_deferred_requests_are_read_later(self, make_hook: MakeHook, requests: Requests) -> None:
        """They are sampled and encoded as all others, and counted where they cannot be read."""
        hook = make_hook(sampling=Sampling(0.0, {"country=BR": 1.0}))
        for country in ("BR", "DE"):
            given = {"features": {"a": 1}, "prediction": 1.0, "segments": {"country": country}}
            hook.defer(lambda given=given: given, size=100)  # type: ignore[misc]
        hook.defer(lambda: 1 / 0, size=100)  # type: ignore[arg-type,return-value]
        assert [event.segments for event in requests(hook)] == [{"country": "BR"}]
        assert (hook.stats().sampled_out, hook.stats().dropped) == (1, {"not_encodable": 1})

    @pytest.mark.parametrize("wrong", NOT_ENCODABLE)
    def test_what_cannot_be_encoded_is_counted(
        self, hook: Hook, requests: Requests, wrong: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing is raised, the log says it once, and the others go on."""
        good: dict[str, Any] = {"features": {"a": 1.0}, "prediction": 0.5}
        with caplog.at_level(logging.WARNING, "shadowlane.producer"):
            for given in (NOT_ENCODABLE[wrong], NOT_ENCODABLE[wrong], {}):
                hook.publish(**(good | given))
            assert len(requests(hook)) == 1
        assert hook.stats().dropped == {"not_encodable": 2}
        assert caplog.text.count("a request was not published") == 1

    def test_what_is_too_large_is_counted(
        self, hook: Hook, requests: Requests, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A message that Kafka's client does not take is dropped, and the log says why."""
        for length in (5_000_000, 1):
            hook.publish(features={"a": "x" * length}, prediction=1.0)
        assert [event.features.strings for event in requests(hook)] == [{"a": "x"}]
        assert hook.stats().dropped == {"too_large": 1}
        assert "too large; raise max.message.bytes" in caplog.text

    def test_each_request_is_in_one_place(self, make_hook: MakeHook, requests: Requests) -> None:
        """The counts add up: while it serves, after a flush, and after the end."""
        hook = make_hook(sampling=0.5)
        for number in range(100):
            hook.publish(features={}, prediction=1.0, entity_id=f"user-{number}")
            assert 0 <= hook.stats().queued <= hook.stats().observed
        hook.primary_failed()
        hook.refuse("no_body", "a request had no body")
        assert hook.flush(timeout=GENEROUS)
        stats = hook.stats()
        assert (stats.observed, stats.primary_failed, stats.dropped) == (102, 1, {"no_body": 1})
        assert (stats.queued, stats.failed) == (0, 0)
        assert 1 + 1 + stats.sampled_out + stats.published == 102
        assert stats.published == stats.delivered == len(requests(hook))
        hook.close(timeout=GENEROUS)
        assert hook.stats() == stats

    def test_after_the_end_nothing_is_taken(self, hook: Hook, requests: Requests) -> None:
        """Close delivers what waits, may be called again, and what comes later is counted as dropped."""
        with hook:
            hook.publish(features={}, prediction=1.0)
            hook.close(timeout=GENEROUS)
        hook.publish(features={}, prediction=1.0)
        hook.close(timeout=GENEROUS)
        assert hook.flush(timeout=GENEROUS)
        assert len(requests(hook)) == 1
        assert (hook.stats().delivered, hook.stats().dropped) == (1, {"closed": 1})

    def test_the_ledger_has_the_same_counts(self, make_hook: MakeHook, held: Held) -> None:
        """An entry at the first request, and a final one at the end, which says what the hook says."""
        hook = make_hook(limits=Limits(ledger_seconds=3600))
        hook.publish(features={}, prediction=1.0)
        assert hook.flush(timeout=GENEROUS)
        hook.publish(features={"a": object()}, prediction=1.0)
        hook.primary_failed()
        hook.close(timeout=GENEROUS)
        messages, stats = held(hook, TOPICS.ledger), hook.stats()
        first, last = decoded(LedgerEntry, messages)
        assert {message.key for message in messages} == {first.producer_id} == {stats.producer_id}
        assert (first.final, last.final) == (False, True)
        assert (last.role, last.model, last.model_version) == ("hook", "ranker", "7")
        assert first.started_at == last.started_at <= first.recorded_at <= last.recorded_at
        for name in ("observed", "primary_failed", "sampled_out", "published", "delivered", "failed"):
            assert getattr(last, name) == getattr(stats, name), name
        assert last.dropped == stats.dropped == {"not_encodable": 1}

    def test_a_hook_that_served_nothing_says_nothing(self, hook: Hook, held: Held) -> None:
        """No request, no message."""
        assert hook.flush()
        hook.close(timeout=GENEROUS)
        assert [held(hook, topic) for topic in (TOPICS.requests, TOPICS.ledger)] == [[], []]

    def test_what_is_redacted_does_not_leave(self, make_hook: MakeHook, held: Held) -> None:
        """What a rule drops is in no message, and what none names is there."""
        rules = [{"field": "features.card", "action": "drop"}, {"field": "entity_id", "action": "drop"}]
        hook = make_hook(redaction={"rules": rules})
        hook.publish(features={"card": CANARY, "a": 1}, prediction=1.0, entity_id=CANARY)
        hook.close(timeout=GENEROUS)
        [message] = held(hook, TOPICS.requests)
        everything = [message, *held(hook, TOPICS.ledger)]
        assert not any(CANARY.encode() in each.value or CANARY in each.key for each in everything)
        [event] = decoded(ProductionRequest, [message])
        assert event.features.to_dict() == {"a": 1}

    def test_what_a_shadow_in_the_process_gave(self, hook: Hook, held: Held) -> None:
        """Comparisons and errors go to topics of their own, and have counts of their own."""
        for result in (COMPARISON, ERROR):
            hook._courier.intake.put_result(Result(result, "user-1"))
        [comparison] = held(hook, TOPICS.comparisons)
        [error] = held(hook, TOPICS.errors)
        assert decoded(ShadowComparison, [comparison]) == [COMPARISON]
        assert decoded(ShadowError, [error]) == [ERROR]
        assert comparison.key == error.key == "user-1"
        assert hook.stats().results == Results(published=2, delivered=2)
        assert hook.stats().observed == 0

    def test_a_routers_results_arrive(self, hook: Hook, requests: Requests, held: Held) -> None:
        """Each request with its comparison, or with the error that the shadow ended with."""

        def shadow(features: Mapping[str, Any]) -> float:
            if features["a"] > 1:
                raise KeyError("a")
            return 0.75

        with SyncModelRouter(lambda _: 0.5, shadow, hook=hook, shadow_name="ranker-8") as router:
            for a in (1, 2):
                assert router.predict({"a": a}, entity_id=f"user-{a}") == 0.5
            router.close(timeout=GENEROUS)
        first, second = requests(hook)
        [comparison] = decoded(ShadowComparison, held(hook, TOPICS.comparisons))
        [error] = decoded(ShadowError, held(hook, TOPICS.errors))
        assert comparison.request_id == first.request_id
        assert comparison.shadow_prediction == Prediction(score=0.75)
        assert (error.request_id, error.error_type) == (second.request_id, "KeyError")

    def test_threads_may_share_a_hook(self, hook: Hook, requests: Requests) -> None:
        """Each request of each thread arrives once, under a number of its own."""

        def serve(name: int) -> None:
            for number in range(100):
                hook.publish(features={}, prediction=1.0, request_id=f"{name}-{number}")

        threads = [Thread(target=serve, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = requests(hook)
        assert [event.sequence for event in events] == list(range(400))
        assert len({event.request_id for event in events}) == 400


Requests = Callable[[Hook], list[ProductionRequest]]
TOKYO = timezone(timedelta(hours=9))
SEEN: Mapping[str, Any] = {
    "request_id": "r-1",
    "event_time": datetime(2026, 3, 1, 12, tzinfo=UTC),
    "model": "ranker",
    "model_version": "7",
    "shadow": "ranker-8",
    "run": "in-process",
    "source_topic": "",
    "source_partition": -1,
    "source_offset": -1,
    "missing_features": ["b"],
}
COMPARISON = ShadowComparison(
    **SEEN,
    primary_prediction=Prediction(score=0.5),
    shadow_prediction=Prediction(score=0.75),
    agreement=False,
    difference=0.25,
    comparator="exact",
    shadow_latency_ms=1.5,
    replay_lag_ms=2.5,
)
ERROR = ShadowError(**SEEN, stage="predict", error_type="KeyError", failed_at=SEEN["event_time"])


def decoded(event: type[EventT], messages: Iterator[Published] | Any) -> list[EventT]:
    """The events of messages."""
    codec = Codec(event)
    return [codec.decode(message.value) for message in messages]


def recently() -> datetime:
    """An hour ago, to the microsecond; what is older than a topic keeps, Kafka would delete."""
    return datetime.now(UTC) - timedelta(hours=1)
