"""The in-process mirror: the caller gets the primary's answer, and the shadow's becomes a result."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from shadowlane.comparators import Comparator, Outcome
from shadowlane.errors import SettingsError
from shadowlane.producer import ModelRouter, Redaction, Results, RouterStats, SyncModelRouter
from shadowlane.producer.testing import MemoryHook
from shadowlane.schemas import Features, Prediction, ShadowComparison, ShadowError
from shadowlane.settings import RedactionRule

GENEROUS = 20.0


@pytest.fixture
def hook() -> Iterator[MemoryHook]:
    """A hook that keeps what it would send."""
    with MemoryHook(model="ranker", model_version="7") as hook:
        yield hook


def primary(features: Mapping[str, Any]) -> float:
    """A sync primary."""
    return float(features["a"])


async def primary_async(features: Mapping[str, Any]) -> float:
    """An async primary."""
    await asyncio.sleep(0)
    return primary(features)


def shadow(features: Mapping[str, Any]) -> float:
    """A sync shadow that agrees below 1."""
    return float(features["a"]) + (0.01 if features["a"] < 1 else 0.25)


async def shadow_async(features: Mapping[str, Any]) -> float:
    """An async shadow that agrees below 1."""
    await asyncio.sleep(0)
    return shadow(features)


class Callable:
    """A shadow that is an object."""

    def __call__(self, features: Mapping[str, Any]) -> float:
        """As the function has it."""
        return shadow(features)


def mirrored(
    hook: MemoryHook,
    requests: list[dict[str, Any]],
    shadow: Any = shadow,
    primary: Any = primary,
    **given: Any,
) -> RouterStats:
    """Ask a router about each of these (arguments of `predict`), and wait for its shadow."""
    # A shadow that answers is out of time on no machine, however busy.
    given = {"timeout": GENEROUS} | given
    with SyncModelRouter(primary, shadow, hook=hook, shadow_name="boosting-2", **given) as router:
        for request in requests:
            router.predict(**request)
        router.close(timeout=GENEROUS)
    return router.stats()


def one(hook: MemoryHook, features: Any = None, shadow: Any = shadow, **given: Any) -> ShadowComparison:
    """The comparison of one request."""
    mirrored(hook, [{"features": features or {"a": 0.5}}], shadow, **given)
    (comparison,) = hook.comparisons
    return comparison


@pytest.mark.parametrize("its_primary", [primary, primary_async, lambda f: primary_async({**f})])
@pytest.mark.parametrize("its_shadow", [shadow, shadow_async, Callable()])
def test_async_callers_get_the_primarys_answer(hook: MemoryHook, its_primary: Any, its_shadow: Any) -> None:
    """Sync and async models in any mixture: one comparison for each request."""

    async def serve() -> list[Any]:
        async with ModelRouter(
            its_primary, its_shadow, hook=hook, shadow_name="s", timeout=GENEROUS
        ) as router:
            answers = await asyncio.gather(*(router.predict({"a": n / 10}) for n in range(20)))
            await router.aclose(timeout=GENEROUS)
            assert router.stats() == RouterStats(taken=20, compared=20)
            return answers

    assert asyncio.run(serve()) == [n / 10 for n in range(20)]
    assert sorted(each.primary_prediction.score or 0.0 for each in hook.comparisons) == [
        n / 10 for n in range(20)
    ]
    assert [each.agreement for each in hook.comparisons].count(True) == 10


@pytest.mark.parametrize("its_shadow", [shadow, shadow_async, Callable()])
def test_callers_get_the_primarys_answer(hook: MemoryHook, its_shadow: Any) -> None:
    """The same in a service of threads; a shadow of either kind."""
    with SyncModelRouter(primary, its_shadow, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        assert [router.predict({"a": n / 10}) for n in range(20)] == [n / 10 for n in range(20)]
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=20, compared=20)
    assert len(hook.comparisons) == len(hook.requests) == 20


def test_the_primarys_answer_is_the_callers_own_object(hook: MemoryHook) -> None:
    """A router hands on what the primary gave, not a copy of it."""
    answer = {"label": "benign", "score": 0.9}
    with SyncModelRouter(lambda _: answer, shadow, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        assert router.predict({"a": 0.5}) is answer


def test_a_comparison_says_what_a_replay_workers_does(hook: MemoryHook) -> None:
    """Identity, both predictions, verdict, times, and whatever else has a field."""
    request: dict[str, Any] = {
        "features": {"a": 1.5, "gone": None},
        "entity_id": "user-1",
        "segments": {"country": "DE", "new": True, "tier": np.int64(3), "unknown": None},
        "request_id": "r-1",
    }
    mirrored(hook, [request], shadow_version="2", comparator="score:0.1")
    (event,), (published,) = hook.comparisons, hook.requests
    expected = ShadowComparison(
        request_id="r-1",
        event_time=published.event_time,
        model="ranker",
        model_version="7",
        shadow="boosting-2",
        shadow_version="2",
        run="in-process",
        entity_id="user-1",
        source_topic=f"in-process:{published.producer_id}",
        source_partition=0,
        source_offset=published.sequence,
        segments={"country": "DE", "new": "true", "tier": "3"},
        primary_prediction=Prediction(score=1.5),
        primary_source="observed",
        shadow_prediction=Prediction(score=1.75),
        agreement=False,
        difference=0.25,
        comparator="score:0.1",
        primary_latency_ms=published.latency_ms,
        shadow_latency_ms=event.shadow_latency_ms,
        latency_basis="warmup",
        shadow_cpu_ms=event.shadow_cpu_ms,
        replay_lag_ms=event.replay_lag_ms,
        missing_features=["gone"],
        features=Features(numbers={"a": 1.5}, missing=["gone"]),
        worker_id=published.producer_id,
    )
    assert event == expected
    assert event.segments == published.segments
    assert event.shadow_latency_ms > 0
    assert event.shadow_cpu_ms is not None
    assert event.replay_lag_ms > 0
    (message,) = [each for each in hook.messages if each.topic == "shadow-comparisons"]
    assert message.key == "user-1"


def test_a_request_without_an_id_has_the_published_one(hook: MemoryHook) -> None:
    """Labels join to both."""
    comparison = one(hook)
    assert comparison.request_id == hook.requests[0].request_id


def test_the_first_calls_are_warm_up(hook: MemoryHook) -> None:
    """Ten of them; the rest is timed alone."""
    mirrored(hook, [{"features": {"a": 0.5}}] * 25)
    assert sorted(each.latency_basis for each in hook.comparisons) == ["single"] * 15 + ["warmup"] * 10


def test_an_async_shadow_has_no_processor_time(hook: MemoryHook) -> None:
    """Its loop's thread works for several requests at once."""
    assert one(hook, shadow=shadow_async).shadow_cpu_ms is None


@pytest.mark.parametrize(("keep", "kept"), [("disagreements", [1.5]), ("all", [0.5, 1.5]), ("none", [])])
def test_which_comparisons_keep_their_features(hook: MemoryHook, keep: Any, kept: list[float]) -> None:
    """By default those that disagree, as the worker has it."""
    mirrored(hook, [{"features": {"a": 0.5}}, {"features": {"a": 1.5}}], keep_features=keep)
    found = sorted(each.features.numbers["a"] for each in hook.comparisons if each.features)
    assert found == kept


@pytest.mark.parametrize("its_shadow", ["sync", "async"])
def test_the_shadow_has_a_copy_of_its_own(hook: MemoryHook, its_shadow: str) -> None:
    """It may change what it is given, arrays and lists in it too: nobody else sees that."""

    def spoils(features: dict[str, Any]) -> float:
        features["array"][0] = 99.0
        features["nested"]["list"].append("spoilt")
        features["a"] = -1.0
        features["new"] = 1
        return 0.5

    async def spoils_async(features: dict[str, Any]) -> float:
        return spoils(features)

    features = {"a": 0.5, "array": np.array([1.0, 2.0]), "nested": {"list": ["x"]}}
    before = copy.deepcopy(features)
    mirrored(
        hook,
        [{"features": features}] * 5,
        spoils if its_shadow == "sync" else spoils_async,
        keep_features="all",
    )
    np.testing.assert_equal(features, before)
    assert len(hook.comparisons) == 5
    for found in [*(each.features for each in hook.requests), *(each.features for each in hook.comparisons)]:
        assert found is not None
        assert found.to_dict() == {"a": 0.5, "array": [1.0, 2.0], "nested": {"list": ["x"]}}


def test_the_shadow_sees_what_the_primary_was_given(hook: MemoryHook) -> None:
    """Also where the primary changes it."""

    def pops(features: dict[str, Any]) -> float:
        return float(features.pop("a"))

    mirrored(hook, [{"features": {"a": 1.5}}], primary=pops)
    (comparison,) = hook.comparisons
    assert comparison.shadow_prediction.score == 1.75
    assert comparison.features == hook.requests[0].features == Features(numbers={"a": 1.5}, missing=[])


def test_a_primary_that_fails_is_not_shadowed(hook: MemoryHook) -> None:
    """What it raises passes on as it is; the ledger counts it, and the shadow is not asked."""

    def fails(_features: Any) -> float:
        raise error

    error = LookupError("no model")
    with SyncModelRouter(fails, shadow, hook=hook, shadow_name="s") as router:
        with pytest.raises(LookupError) as caught:
            router.predict({"a": 0.5})
        assert caught.value is error
    assert router.stats() == RouterStats()
    hook.close()
    assert hook.ledger[-1].primary_failed == hook.ledger[-1].observed == 1
    assert (hook.requests, hook.comparisons, hook.errors) == ([], [], [])


def test_an_async_primary_that_fails_is_not_shadowed(hook: MemoryHook) -> None:
    """The same, where it is awaited."""

    async def fails(_features: Any) -> float:
        await asyncio.sleep(0)
        raise LookupError("no model")

    async def serve() -> None:
        async with ModelRouter(fails, shadow, hook=hook, shadow_name="s") as router:
            with pytest.raises(LookupError):
                await router.predict({"a": 0.5})
            assert router.stats() == RouterStats()

    asyncio.run(serve())
    assert hook.stats().primary_failed == hook.stats().observed == 1


def test_a_cancelled_caller(hook: MemoryHook) -> None:
    """Its end passes on; nobody knows what the primary would have said, so nobody asks the shadow."""

    async def serve() -> None:
        asked = asyncio.Event()

        async def hangs(_features: Any) -> float:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        async with ModelRouter(hangs, shadow, hook=hook, shadow_name="s") as router:
            task = asyncio.create_task(router.predict({"a": 0.5}))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert router.stats() == RouterStats()

    asyncio.run(serve())
    assert hook.stats().primary_failed == hook.stats().observed == 1


def test_only_what_is_sampled_is_shadowed() -> None:
    """The requests that are published, and no other."""
    with MemoryHook(model="ranker", sampling=0.3) as hook:
        requests: list[dict[str, Any]] = [
            {"features": {"a": 0.5}, "entity_id": f"user-{n}"} for n in range(300)
        ]
        stats = mirrored(hook, requests)
        published = {each.request_id for each in hook.requests}
        assert {each.request_id for each in hook.comparisons} == published
        assert stats.taken == len(published) == 300 - hook.stats().sampled_out
        assert 0 < len(published) < 300


def test_what_the_hook_does_not_take_is_not_shadowed() -> None:
    """Features that are none, and what comes after the hook's end: the caller has its answer all the same."""
    hook = MemoryHook(model="ranker")
    with SyncModelRouter(lambda _: 0.5, shadow, hook=hook, shadow_name="s") as router:
        assert router.predict(object()) == 0.5
        hook.close()
        assert router.predict({"a": 0.5}) == 0.5
        assert router.stats() == RouterStats()
    assert hook.stats().dropped == {"not_encodable": 1, "closed": 1}


def test_a_closed_router_goes_on_answering(hook: MemoryHook) -> None:
    """And publishing; the shadow is not asked any more, which is counted."""
    router = SyncModelRouter(primary, shadow, hook=hook, shadow_name="s")
    router.close()
    assert router.predict({"a": 0.5}) == 0.5
    assert router.stats() == RouterStats(not_run=1)
    router.close()
    assert len(hook.requests) == 1
    assert hook.comparisons == []


def test_ignored_pairs_are_compared_and_no_disagreement(hook: MemoryHook) -> None:
    """By the request's segment, as a replay worker has it; their features stay in the service."""
    requests: list[dict[str, Any]] = [
        {"features": {"a": 1.5}, "segments": {"traffic": traffic}} for traffic in ("synthetic", "real")
    ]
    mirrored(hook, requests, comparator=Comparator.of(["auto"], ["segment.traffic=synthetic"]))
    found = {each.segments["traffic"]: each for each in hook.comparisons}
    ignored = found["synthetic"]
    assert (ignored.agreement, ignored.difference) == (False, None)
    assert (ignored.comparator, ignored.features) == ("ignored:segment.traffic=synthetic", None)
    assert (found["real"].comparator, found["real"].features is None) == ("score:0.05", False)


class Broken(Comparator):
    """A rule that cannot be applied."""

    def compare(self, *_: object) -> Outcome:
        """Fail."""
        raise ArithmeticError("no rule")


@pytest.mark.parametrize(
    ("given", "answer", "expected"),
    [
        ({}, {"no": "prediction"}, ("predict", "NoFormError")),
        ({}, object(), ("predict", "NoFormError")),
        ({}, "\ud800", ("predict", "UnicodeEncodeError")),
        ({}, [1.0] * 600_000, ("oversize", "OversizeComparison")),
        ({"comparator": Broken()}, 0.5, ("compare", "ArithmeticError")),
        ({"primary": lambda _: None}, 0.5, ("compare", "NoPrimaryPrediction")),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    hook: MemoryHook, given: dict[str, Any], answer: Any, expected: tuple[str, str]
) -> None:
    """At the stage and under the name that a replay worker gives it."""
    stats = mirrored(hook, [{"features": {"a": 0.5}}], lambda _: answer, **given)
    (error,) = hook.errors
    assert (error.stage, error.error_type) == expected
    assert stats == RouterStats(taken=1, errors={expected[0]: 1})
    assert hook.comparisons == []


def test_a_function_that_returns_a_coroutine_is_no_sync_shadow(hook: MemoryHook) -> None:
    """It says what to give instead, and leaves no coroutine behind that was never awaited."""
    mirrored(hook, [{"features": {"a": 0.5}}], lambda f: shadow_async({**f}))
    (error,) = hook.errors
    assert (error.stage, error.error_type) == ("predict", "TypeError")
    assert "async def" in error.message


def test_an_error_says_whose_request_it_was(hook: MemoryHook) -> None:
    """Identity, segments, missing features, and the exception with its traceback."""

    def fails(features: Mapping[str, Any]) -> float:
        raise KeyError("new-cohort")

    request = {"features": {"a": 0.5, "gone": None}, "entity_id": "user-1", "segments": {"country": "DE"}}
    mirrored(hook, [request], fails, shadow_version="2")
    (error,), (published,) = hook.errors, hook.requests
    assert error == ShadowError(
        request_id=published.request_id,
        event_time=published.event_time,
        model="ranker",
        model_version="7",
        shadow="boosting-2",
        shadow_version="2",
        run="in-process",
        entity_id="user-1",
        source_topic=f"in-process:{published.producer_id}",
        source_partition=0,
        source_offset=published.sequence,
        stage="predict",
        error_type="KeyError",
        message="'new-cohort'",
        traceback=error.traceback,
        failed_at=error.failed_at,
        segments={"country": "DE"},
        missing_features=["gone"],
        sampling_rate=1.0,
        worker_id=published.producer_id,
    )
    assert error.traceback is not None
    assert 'raise KeyError("new-cohort")' in error.traceback


def test_long_and_strange_texts_of_errors_are_cut(hook: MemoryHook) -> None:
    """Whatever a shadow has to say, its error fits the topic."""

    def fails(_features: Any) -> float:
        raise ValueError("\ud800" + "x" * 1_000_000)

    mirrored(hook, [{"features": {"a": 0.5}}], fails)
    (error,) = hook.errors
    assert error.message == "?" + "x" * 999
    assert error.traceback is not None
    assert len(error.traceback) == 4000


SECRET = "canary-5f1c"  # noqa: S105 (a canary, not a password)
RULES: list[RedactionRule | Mapping[str, Any]] = [
    {"field": ["entity_id", "request_id", "segments.city", "features.name"], "action": "hash"},
    {"field": ["features.secret", "prediction.label"], "action": "drop"},
    {"field": "prediction.score", "action": "bucket", "width": 0.5},
]


@pytest.fixture
def careful() -> Iterator[MemoryHook]:
    """A hook that lets little out."""
    with MemoryHook(model="ranker", redaction=Redaction(RULES, key="k" * 32)) as hook:
        yield hook


def careful_request() -> dict[str, Any]:
    """A request that is full of secrets."""
    features = {"a": 1.3, "name": SECRET, "secret": SECRET}
    return {"features": features, "entity_id": SECRET, "request_id": SECRET, "segments": {"city": SECRET}}


def test_a_comparison_is_redacted_as_its_request_is(careful: MemoryHook) -> None:
    """The same hashes, so that the two still join; the shadow itself sees the request as it is."""
    seen = list[Any]()

    def sees(features: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(features)
        return {"label": SECRET, "score": features["a"] + 0.1}

    mirrored(careful, [careful_request()], sees, keep_features="all", comparator="score:0.2")
    assert seen == [careful_request()["features"]]
    (request,), (comparison,) = careful.requests, careful.comparisons
    for name in ("request_id", "entity_id", "segments", "features"):
        assert getattr(comparison, name) == getattr(request, name), name
    assert comparison.primary_prediction == request.prediction == Prediction(score=1.0)
    assert comparison.shadow_prediction == Prediction(score=1.0)
    # Compared as they were; of how far apart they were no more leaves than the buckets say.
    assert (comparison.agreement, comparison.difference) == (True, 0.0)
    assert not [each for each in careful.messages if SECRET in f"{each.key}{each.value!r}"]


def test_with_a_redaction_the_names_in_a_wrong_answer_stay_here(careful: MemoryHook) -> None:
    """The text that says which names a prediction cannot have would say names that come from data."""
    mirrored(careful, [careful_request()], lambda _: {SECRET: 0.5})
    (error,) = careful.errors
    assert (error.stage, error.error_type) == ("predict", "NoFormError")
    assert not [each for each in careful.messages if SECRET in f"{each.key}{each.value!r}"]


@pytest.mark.parametrize("error", [KeyError, SystemExit])
def test_with_a_redaction_an_errors_text_stays_here(careful: MemoryHook, error: Any) -> None:
    """It may hold what the shadow was given: the type and the places are what leaves."""

    def fails(features: Mapping[str, Any]) -> float:
        raise error(features["name"])

    mirrored(careful, [careful_request()], fails)
    (event,) = careful.errors
    assert event.error_type == error.__name__
    assert event.message.startswith(f"{error.__name__} in ")
    assert event.traceback is not None
    assert 'raise error(features["name"])' in event.traceback
    assert event.entity_id == careful.requests[0].entity_id
    assert not [each for each in careful.messages if SECRET in f"{each.key}{each.value!r}"]


@pytest.mark.parametrize(
    "unfit",
    [
        {"features": {"a": 0.5, "age": SECRET}},  # text, and its rule is for numbers
        {"features": {"a": 0.5, "bytes": SECRET.encode()}},
        {"segments": {"city": [SECRET]}},
        {"context": {"trace": [SECRET]}},
        {"primary": lambda _: {"unknown": SECRET}},
    ],
    ids=["redaction", "features", "segments", "context", "prediction"],
)
def test_what_cannot_be_published_has_no_row(unfit: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """It is lost, and the ledger says why: it was never delivered, so that no row of it may be, either."""
    rules = [{"field": "features.age", "action": "bucket", "width": 10}]
    with MemoryHook(model="ranker", redaction=Redaction(rules)) as hook:
        primary_given = {"primary": unfit["primary"]} if "primary" in unfit else {}
        request = {name: value for name, value in unfit.items() if name != "primary"}
        stats = mirrored(hook, [{"features": {"a": 0.5}, **request}], **primary_given)
        assert stats == RouterStats(taken=1, lost=1)
        assert (hook.requests, hook.comparisons, hook.errors) == ([], [], [])
        assert hook.stats().dropped == {"not_encodable": 1}
    assert "a result of the shadow boosting-2 was lost: NoFormError" in caplog.text
    assert SECRET not in caplog.text


def test_a_prediction_of_which_nothing_may_leave_is_compared() -> None:
    """The verdict leaves, and neither of the two."""
    with MemoryHook(model="ranker", redaction=Redaction([{"field": "prediction", "action": "drop"}])) as hook:
        comparison = one(hook)
        assert comparison.agreement
        assert comparison.difference is None
        assert comparison.primary_prediction == comparison.shadow_prediction == Prediction()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shadow_name": "no name"}, "shadow"),
        ({"run": ""}, "run"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": 1.5}, "concurrency is 1.5"),
        ({"queue_size": True}, "queue_size is True"),
        ({"keep_features": "some"}, "keep_features is 'some'"),
        ({"comparator": "exact"}, "comparator 'exact'"),
        ({"shadow_version": 2}, "shadow_version 2"),
    ],
)
def test_wrong_settings_are_said_at_once(hook: MemoryHook, wrong: dict[str, Any], says: str) -> None:
    """Where the router is made, not in the first request."""
    with pytest.raises(SettingsError, match=says):
        SyncModelRouter(primary, shadow, hook=hook, **{"shadow_name": "s", **wrong})


def yields(_features: Any) -> Iterator[float]:
    """A generator function."""
    yield 0.5


@pytest.mark.parametrize("model", [yields, object(), None, 0.5])
@pytest.mark.parametrize("router", [ModelRouter, SyncModelRouter])
def test_what_is_no_model_is_said_at_once(hook: MemoryHook, router: Any, model: Any) -> None:
    """A primary or a shadow that is nothing to call."""
    with pytest.raises(TypeError, match="the primary must be a function"):
        router(model, shadow, hook=hook, shadow_name="s")
    with pytest.raises(TypeError, match="the shadow must be a function"):
        router(primary, model, hook=hook, shadow_name="s")


def test_an_async_primary_wants_the_async_router(hook: MemoryHook) -> None:
    """Its sync twin cannot await it, and says who can."""
    with pytest.raises(TypeError, match="ModelRouter"):
        SyncModelRouter(primary_async, shadow, hook=hook, shadow_name="s")


def test_a_result_that_comes_after_the_hooks_end_is_counted(hook: MemoryHook) -> None:
    """It goes nowhere any more, and the hook's counts say so."""
    ended = threading.Event()

    def waits(_features: Any) -> float:
        ended.wait(GENEROUS)
        return 0.5

    with SyncModelRouter(primary, waits, hook=hook, shadow_name="s", timeout=2 * GENEROUS) as router:
        router.predict({"a": 0.5})
        hook.close()
        ended.set()
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=1, compared=1)
    assert hook.stats().results == Results(dropped=1)
