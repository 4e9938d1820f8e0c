"""Looking features up before a model is asked: in time, again where it may help, and beside the primary's."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from asked import asked
from shadowlane.errors import ModelError, TransientError
from shadowlane.replay_worker import ModelSource, RequestContext
from shadowlane.replay_worker.models._fetch import Fetched, Fetcher, load_fetcher
from tests_support import NOON


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set at the test's end, so that no look-up that hangs outlives it."""
    event = threading.Event()
    yield event
    event.set()


def fetched(
    target: object, *features: Mapping[str, object], seconds: float = 30.0, **options: Any
) -> Fetched:
    """What a look-up gives for requests with these features."""
    return Fetcher(target, threads=options.pop("threads", 4), seconds=seconds).run(
        asked(*features, **options)
    )


def differences(found: Fetched) -> list[dict[str, Any]]:
    """What was fetched and differs, for each request."""
    return [
        {name: value for kind in row.values() for name, value in _pairs(kind)}
        for row in found.differing.to_pylist()
    ]


def _pairs(kind: Sequence[Any]) -> list[Any]:
    return [each if isinstance(each, tuple) else (each, None) for each in kind]


def test_what_is_fetched_is_added_and_goes_before_what_the_primary_had() -> None:
    """The model is asked with both; of a kind that changes nothing stays behind."""
    found = fetched(
        lambda features, _context: {"history": features["n"] * 2, "kept": "now text", "gone": None},
        {"n": 1, "kept": 1.0, "gone": 3.0, "beside": True, "nested": {"a": [1, None]}},
        {"n": 2, "kept": 2.0},
    )
    assert found.batch.dicts() == [
        {"n": 1, "history": 2, "kept": "now text", "gone": None, "beside": True, "nested": {"a": [1, None]}},
        {"n": 2, "history": 4, "kept": "now text", "gone": None},
    ]
    assert list(found.rows) == [0, 1]
    assert not found.failures


@pytest.mark.parametrize(
    ("had", "got", "is_same"),
    [
        (1.0, 1.0, True),
        (0.1 + 0.2, 0.3, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1, 1.0, True),
        (0.0, -0.0, True),
        (2**53 + 1, float(2**53), False),
        ("1", 1, False),
        ("a", "a", True),
        (None, None, True),
        (None, 1.0, False),
        (1.0, None, False),
        ([1.0, math.nan], [1.0, math.nan], True),
        ([1.0], [1.0, 2.0], False),
        ({"a": {"b": math.nan}}, {"a": {"b": math.nan}}, True),
        ({"a": 1}, {"b": 1}, False),
        (math.inf, math.inf, True),
    ],
)
def test_a_feature_differs_by_its_value(had: object, got: object, is_same: bool) -> None:
    """Numbers as numbers, exactly; NaN is NaN; null is not there."""
    found = fetched(lambda _features, _context: {"f": got}, {"f": had})
    assert [list(each) for each in differences(found)] == [[] if is_same else ["f"]]


def test_a_feature_that_the_primary_had_not_is_a_difference() -> None:
    """Unless nothing was found either; it is said with the shadow's value."""
    found = fetched(lambda _features, _context: {"new": 1, "nothing": None, "n": 2}, {"n": 1})
    assert differences(found) == [{"new": 1, "n": 2}]


def test_a_look_up_is_given_whose_request_it_is_and_that_it_is_a_shadows() -> None:
    """The time of the request, its headers, and the mark to pass on; features that it may change."""
    seen: list[RequestContext] = []

    def fetch(features: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        seen.append(context)
        features.clear()
        return {}

    found = fetched(fetch, {"n": 1}, context={"traceparent": "00-1"}, segments={"country": "DE"})
    (context,) = seen
    assert context.shadow is True
    assert dict(context.headers) == {"traceparent": "00-1", "X-Shadowlane-Shadow": "true"}
    assert (context.request_id, context.entity_id, context.event_time) == ("request-0", "user-0", NOON)
    assert found.batch.dicts() == [{"n": 1}]


def test_what_may_pass_is_tried_again() -> None:
    """A TransientError, a ConnectionError and a TimeoutError of Python's; the third attempt counts."""
    faults: dict[int, list[Exception]] = {
        0: [TransientError("busy"), ConnectionResetError()],
        1: [TimeoutError(), TransientError("busy")],
    }

    def fetch(features: Mapping[str, Any], _context: RequestContext) -> dict[str, Any]:
        waiting = faults[features["n"]]
        if waiting:
            raise waiting.pop()
        return {"found": features["n"]}

    found = fetched(fetch, {"n": 0}, {"n": 1})
    assert differences(found) == [{"found": 0}, {"found": 1}]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(TransientError("busy"), 3), (KeyError("user"), 1), (SystemExit(3), 1), (KeyboardInterrupt(), 1)],
)
def test_a_failure_is_of_its_own_request_with_its_attempts(error: BaseException, attempts: int) -> None:
    """Its stage is `fetch`, whatever was raised; the requests beside it go on."""

    def fetch(features: Mapping[str, Any], _context: RequestContext) -> dict[str, Any]:
        if features["n"] == 1:
            raise error
        return {"found": True}

    found = fetched(fetch, {"n": 0}, {"n": 1}, {"n": 2})
    assert [row["n"] for row in found.batch.dicts()] == [0, 2]
    assert list(found.rows) == [0, 2]
    ((row, failure),) = found.failures
    assert (row, failure.stage, failure.error_type, failure.attempts) == (
        1, "fetch", type(error).__name__, attempts
    )  # fmt: skip


@pytest.mark.parametrize("gave", [None, 3, {"f": object()}, {1: 2}])
def test_what_has_no_form_as_features_is_a_failure(gave: object) -> None:
    """Not features with holes."""
    found = fetched(lambda _features, _context: gave, {"n": 0})
    ((_, failure),) = found.failures
    assert (failure.stage, failure.error_type) == ("fetch", "NoFormError")


def test_a_look_up_that_hangs_is_left_behind(over: threading.Event) -> None:
    """It costs its own request its time, and others find a thread all the same."""

    def fetch(features: Mapping[str, Any], _context: RequestContext) -> dict[str, Any]:
        if features["n"] < 2:
            over.wait(60)
        return {"found": True}

    found = fetched(fetch, *({"n": n} for n in range(6)), seconds=0.2, threads=1)
    assert list(found.rows) == [2, 3, 4, 5]
    assert [(row, failure.error_type, failure.message) for row, failure in found.failures] == [
        (0, "LookupTimeoutError", "no features within 0.2 s; 0 other look-ups hang"),
        (1, "LookupTimeoutError", "no features within 0.2 s; 1 other look-ups hang"),
    ]


def test_threads_that_hang_are_bounded_and_come_back(over: threading.Event) -> None:
    """With so many left behind none is started more; when they end, look-ups go on."""
    before = set(threading.enumerate())
    fetcher = Fetcher(lambda _features, _context: {"found": not over.wait(60)}, threads=64, seconds=0.2)
    rows = [{"n": n} for n in range(200)]
    found = fetcher.run(asked(*rows))
    assert len(found.failures) == 200
    assert any("no more are started" in failure.message for _, failure in found.failures)
    assert len(set(threading.enumerate()) - before) <= 128
    over.set()
    while fetcher.run(asked({"n": 1})).failures:
        pass


class Many:
    """A look-up of many at once, and of one where it fails."""

    def __init__(self, fault: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _features: None) -> None:
        self.fault, self.calls = fault, list[int]()

    def fetch_many(
        self, features: Sequence[Mapping[str, Any]], contexts: Sequence[RequestContext]
    ) -> list[dict[str, Any]]:
        """Fail, or answer all."""
        self.calls.append(len(features))
        self.fault(features)
        return [
            {"found": each["n"], "by": context.request_id}
            for each, context in zip(features, contexts, strict=True)
        ]


def test_many_are_looked_up_in_one_call() -> None:
    """In the order of the requests, each with its context."""
    many = Many()
    found = fetched(many, {"n": 5}, {"n": 6})
    assert differences(found) == [{"found": 5, "by": "request-0"}, {"found": 6, "by": "request-1"}]
    assert many.calls == [2]


def test_a_call_for_many_that_fails_is_done_one_by_one() -> None:
    """So that it costs only the request that caused it."""

    def fault(features: Sequence[Mapping[str, Any]]) -> None:
        if any(each["n"] == 6 for each in features):
            raise KeyError(6)

    many = Many(fault)
    found = fetched(many, {"n": 5}, {"n": 6}, {"n": 7})
    assert [each["found"] for each in differences(found)] == [5, 7]
    assert [(row, failure.error_type) for row, failure in found.failures] == [(1, "KeyError")]
    assert sorted(many.calls) == [1, 1, 1, 3]


def test_the_attempts_of_a_call_for_one_are_those_that_were_made() -> None:
    """Also where the look-up knows only many."""

    def fault(_features: Sequence[Mapping[str, Any]]) -> None:
        raise TransientError("busy")

    many = Many(fault)
    ((_, failure),) = fetched(many, {"n": 5}).failures
    assert (failure.attempts, many.calls) == (3, [1, 1, 1])


def test_another_number_of_answers_is_a_failure() -> None:
    """Whose they are nobody knows."""

    class Short:
        def fetch_many(self, features: Sequence[Any], _contexts: Sequence[Any]) -> list[dict[str, Any]]:
            return [{}] * (len(features) - 1)

    found = fetched(Short(), {"n": 5}, {"n": 6})
    assert [failure.message for _, failure in found.failures] == [
        "1 requests, but fetch_many gave 0 answers"
    ] * 2


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (ModelSource("", fetch="python:math:pi"), "a float fetches nothing: neither callable, nor has it"),
        (ModelSource("", fetch="python:no_such_module:fetch"), "failed to load: ModuleNotFoundError"),
        (ModelSource("", fetch="http://host/fetch"), "write python:package.module:attribute"),
        (ModelSource("", fetch="python:math:sqrt", fetch_seconds=30.0), "below that of a call, 30 s"),
        (ModelSource("", fetch="python:math:sqrt", fetch_seconds=0.0), "must be above 0"),
    ],
)
def test_a_look_up_that_cannot_be_loaded_says_why(source: ModelSource, why: str) -> None:
    """Before a message is consumed."""
    with pytest.raises(ModelError) as caught:
        load_fetcher(source)
    assert why in str(caught.value)


def test_without_a_look_up_there_is_nothing_to_load() -> None:
    """None is asked for, none is made."""
    assert load_fetcher(ModelSource("python:math:sqrt")) is None
