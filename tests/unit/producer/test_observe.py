"""Timing the primary: `observe` and `wrap`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import pytest

from shadowlane.producer import Hook
from shadowlane.schemas import Prediction

from .conftest import Taken


def test_observe_times_the_primary_and_publishes_its_answer(
    hook: Hook, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latency is the time inside the `with`."""
    clock = iter([1_000_000_000, 1_012_500_000])
    monkeypatch.setattr("shadowlane.producer._calls.time.perf_counter_ns", lambda: next(clock))
    with hook.observe({"a": 1.0}, entity_id="user-1", segments={"country": "DE"}) as call:
        call.prediction = 0.5
    [event] = taken(hook)
    assert (event.latency_ms, event.prediction) == (12.5, Prediction(score=0.5))
    assert (event.entity_id, event.segments) == ("user-1", {"country": "DE"})


def test_the_primary_may_change_its_features(hook: Hook, taken: Taken) -> None:
    """What is published is what the primary was given, not what it made of it."""
    features = {"a": [1.0]}
    with hook.observe(features) as call:
        features["a"].append(2.0)
        call.prediction = features["a"]
        features["a"].append(3.0)
    [event] = taken(hook)
    assert event.features.vectors == {"a": [1.0]}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()])
@pytest.mark.parametrize("sampling", [0.0, 1.0])
def test_a_primary_that_raises(still: None, error: BaseException, sampling: float) -> None:
    """What it raises passes on as it is; the request is counted as primary_failed, sampled or not."""
    hook = Hook(model="ranker", sampling=sampling)

    def serve() -> None:
        with hook.observe({"a": 1.0}) as call:
            call.prediction = 0.5
            raise error

    with pytest.raises(type(error)) as caught:
        serve()
    assert caught.value is error
    stats = hook.stats()
    assert (stats.observed, stats.primary_failed, stats.queued) == (1, 1, 0)


def test_a_call_left_out_by_sampling(still: None) -> None:
    """It is counted, once."""
    hook = Hook(model="ranker", sampling=0.0)
    with hook.observe({"a": 1.0}) as call:
        call.prediction = 0.5
    assert (hook.stats().observed, hook.stats().sampled_out) == (1, 1)


def test_a_forgotten_prediction_is_counted(hook: Hook) -> None:
    """A call whose prediction nobody set is not published as one that answered nothing."""
    with hook.observe({"a": 1.0}):
        pass
    assert hook.stats().dropped == {"no_prediction": 1}


def test_features_that_cannot_be_copied_do_not_stop_the_primary(hook: Hook) -> None:
    """The primary runs, and the request is counted as not encodable."""
    with hook.observe(None) as call:  # type: ignore[arg-type]
        call.prediction = 0.5
    assert hook.stats().dropped == {"not_encodable": 1}


def test_none_may_be_a_prediction(hook: Hook, taken: Taken) -> None:
    """A primary that answers None answered."""
    with hook.observe({"a": 1.0}) as call:
        call.prediction = None
    assert [event.prediction for event in taken(hook)] == [None]


def test_wrap_a_function(hook: Hook, taken: Taken) -> None:
    """Each call is published, the function's answer and name are its own."""

    @hook.wrap
    def predict(features: Mapping[str, Any], *, scale: float = 1.0) -> float:
        """Predict."""
        return float(features["a"]) * scale

    assert predict({"a": 2.0}, scale=0.5) == 1.0
    assert predict(features={"a": 3.0}) == 3.0
    assert (predict.__name__, predict.__doc__) == ("predict", "Predict.")
    assert [(e.features.numbers, e.prediction) for e in taken(hook)] == [
        ({"a": 2.0}, Prediction(score=1.0)),
        ({"a": 3.0}, Prediction(score=3.0)),
    ]


def test_wrap_a_coroutine_function(hook: Hook, taken: Taken) -> None:
    """It stays one; the time it waits counts, and others run meanwhile."""
    gate = asyncio.Event()

    @hook.wrap
    async def predict(features: Mapping[str, Any]) -> str:
        await gate.wait()
        return str(features["a"])

    async def both() -> list[str]:
        first, second = asyncio.ensure_future(predict({"a": 1})), asyncio.ensure_future(predict({"a": 2}))
        await asyncio.sleep(0)
        gate.set()
        return [await first, await second]

    assert asyncio.run(both()) == ["1", "2"]
    assert {(e.features.integers["a"], e.prediction) for e in taken(hook)} == {
        (1, Prediction(label="1")),
        (2, Prediction(label="2")),
    }


def test_wrap_a_coroutine_function_that_is_cancelled(hook: Hook) -> None:
    """A cancelled call is a failed primary, and stays cancelled."""

    @hook.wrap
    async def predict(_features: Mapping[str, Any]) -> float:
        await asyncio.Event().wait()
        return 1.0

    async def cancel() -> None:
        task = asyncio.ensure_future(predict({"a": 1}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert hook.stats().primary_failed == 1


def test_wrap_a_method(hook: Hook, taken: Taken) -> None:
    """Of a method, the features are the first argument after the object itself."""

    class Model:
        @hook.wrap
        def predict(self, features: Mapping[str, Any]) -> float:
            return float(features["a"])

    assert Model().predict({"a": 1.0}) == 1.0
    assert [event.features.numbers for event in taken(hook)] == [{"a": 1.0}]


def test_wrap_what_has_no_signature(hook: Hook, taken: Taken) -> None:
    """Callables of C may have none: their first argument is the features all the same."""
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)
    assert hook.wrap(max)({"a": 1.0}) == "a"
    assert [(e.features.numbers, e.prediction) for e in taken(hook)] == [({"a": 1.0}, Prediction(label="a"))]


class Model:
    """A model that is called itself."""

    def __call__(self, features: Mapping[str, Any]) -> float:
        """Answer with a feature."""
        return float(features["a"])


class AsyncModel:
    """A model whose call is awaited."""

    async def __call__(self, features: Mapping[str, Any]) -> float:
        """Answer with a feature."""
        await asyncio.sleep(0)
        return float(features["a"])


def test_wrap_an_object(hook: Hook, taken: Taken) -> None:
    """An object that is called is a predict function."""
    assert hook.wrap(Model())({"a": 1.0}) == 1.0
    assert [(e.features.numbers, e.prediction) for e in taken(hook)] == [({"a": 1.0}, Prediction(score=1.0))]


@pytest.mark.parametrize(
    "predict",
    [AsyncModel(), AsyncModel().__call__, partial(AsyncModel()), partial(partial(AsyncModel().__call__))],
    ids=["object", "method", "partial of an object", "partial of a partial of a method"],
)
def test_wrap_what_is_awaited(hook: Hook, taken: Taken, predict: Callable[..., Any]) -> None:
    """An object with an async `__call__`, and a partial of one, are coroutine functions."""
    wrapped = hook.wrap(predict)
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped({"a": 1.0})) == 1.0
    assert [(e.features.numbers, e.prediction) for e in taken(hook)] == [({"a": 1.0}, Prediction(score=1.0))]


def generator(_features: Mapping[str, Any]) -> Iterator[float]:
    """Yields many answers."""
    yield 1.0


async def async_generator(_features: Mapping[str, Any]) -> AsyncIterator[float]:
    """Yields many answers, in time."""
    yield 1.0


class Stream:
    """An object whose call yields."""

    def __call__(self, _features: Mapping[str, Any]) -> Iterator[float]:
        """Answer with many."""
        yield 1.0


class AsyncStream:
    """An object whose call yields, in time."""

    async def __call__(self, _features: Mapping[str, Any]) -> AsyncIterator[float]:
        """Answer with many."""
        yield 1.0


@pytest.mark.parametrize(
    ("predict", "named"),
    [
        (generator, "generator is a generator"),
        (async_generator, "async_generator is a generator"),
        (Stream(), "Stream is a generator"),
        (AsyncStream(), "AsyncStream is a generator"),
        (partial(generator), "partial is a generator"),
        (Stream().__call__, "Stream.__call__ is a generator"),
        (staticmethod(generator), "below @staticmethod"),
        (classmethod(cast("Any", generator)), "below @classmethod"),
        (0.5, "not float"),
        (None, "not NoneType"),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_what_wrap_cannot_observe_it_refuses_at_once(hook: Hook, predict: Any, named: str) -> None:
    """Where it is decorated rather than where it is called, and the sentence says what wrap takes."""
    with pytest.raises(TypeError, match="wrap takes a function or callable object") as caught:
        hook.wrap(predict)
    assert named in str(caught.value)


def test_a_wrapped_call_with_wrong_arguments_fails_as_ever(hook: Hook) -> None:
    """The function's own TypeError comes through."""

    @hook.wrap
    def predict(features: Mapping[str, Any]) -> float:
        return float(features["a"])

    with pytest.raises(TypeError, match="features"):
        predict()  # type: ignore[call-arg]
    assert hook.stats().primary_failed == 1


class User:
    """What a service hands around."""

    def __init__(self, name: str, age: float) -> None:
        self.name, self.age = name, age


def test_wrap_reads_what_else_is_known_of_a_call(hook: Hook, taken: Taken) -> None:
    """Features, ids, segments and context, each from the call's own arguments, however they are passed."""

    @hook.wrap(
        features=lambda user, *, item: {"age": user.age, "item": item},
        entity_id=lambda user, **_: user.name,
        request_id=lambda user, *, item: f"{user.name}/{item}",
        segments=lambda user, **_: {"adult": user.age >= 18},
        context=lambda _user, **_: {"session_id": "s-1"},
    )
    def score(user: User, *, item: int) -> float:
        return user.age / item

    assert score(User("ada", 36.0), item=4) == 9.0
    [event] = taken(hook)
    assert event.features.to_dict() == {"age": 36.0, "item": 4}
    assert (event.entity_id, event.request_id, event.prediction) == ("ada", "ada/4", Prediction(score=9.0))
    assert (event.segments, event.context) == ({"adult": "true"}, {"session_id": "s-1"})


def test_wrap_with_brackets_and_an_async_function(hook: Hook, taken: Taken) -> None:
    """`@hook.wrap()` is `@hook.wrap`; what reads the features may stand alone; async stays async."""

    @hook.wrap()
    def plain(features: Mapping[str, float]) -> float:
        return features["a"]

    @hook.wrap(segments=lambda _: {"country": "DE"})
    async def later(features: Mapping[str, float]) -> float:
        return features["a"]

    assert plain({"a": 1.0}) + asyncio.run(later({"a": 2.0})) == 3.0
    assert [(event.features.numbers["a"], event.segments) for event in taken(hook)] == [
        (1.0, {}),
        (2.0, {"country": "DE"}),
    ]


def test_a_reader_that_fails_costs_the_call_nothing(hook: Hook) -> None:
    """The primary answers as ever; the request is counted as not encodable."""

    def broken(_features: object) -> str:
        raise KeyError("user")

    predict = hook.wrap(entity_id=broken)(lambda features: features["a"])
    assert predict({"a": 0.5}) == 0.5
    assert hook.stats().dropped == {"not_encodable": 1}


def test_a_reader_that_is_no_function_is_refused(hook: Hook) -> None:
    """Where it is written, and not at the first call."""
    with pytest.raises(TypeError, match="wrap: entity_id is a function of the call's arguments, not str"):
        hook.wrap(entity_id="user")  # type: ignore[call-overload]
