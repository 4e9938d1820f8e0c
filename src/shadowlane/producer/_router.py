"""The in-process mirror: a service that runs both models itself, and answers with the primary's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.producer import _lifetime
from shadowlane.producer._calls import NOT_SET, is_async
from shadowlane.producer._encode import Observation
from shadowlane.producer._hook import Hook
from shadowlane.producer._mirror import KeepFeatures, Mirror
from shadowlane.producer._router_stats import RouterStats
from shadowlane.producer._shadow_pool import ShadowPool
from shadowlane.producer._shadow_results import Reporter

_NANOSECONDS = 1e6


class _Router:
    """What both routers have in common."""

    _awaits = True

    def __init__(
        self,
        primary: Callable[[Any], Any],
        shadow: Callable[[Mapping[str, Any]], Any],
        *,
        hook: Hook,
        shadow_name: str,
        shadow_version: str = "",
        comparator: Comparator | str = "auto",
        run: str = "in-process",
        keep_features: KeepFeatures = "disagreements",
        timeout: float = 1.0,
        concurrency: int = 4,
        queue_size: int = 1000,
    ) -> None:
        if not isinstance(shadow_version, str):
            raise SettingsError(f"shadow_version {shadow_version!r} must be text")
        rule = Comparator.parse(comparator) if isinstance(comparator, str) else comparator
        self._mirror = Mirror(
            shadow_name, shadow_version, run, rule, keep_features, timeout, concurrency, queue_size
        )
        if _is_async("primary", primary) and not self._awaits:
            raise TypeError("the primary is async: use ModelRouter, and await its predict")
        self._primary = primary
        self._shadow, self._shadow_is_async = shadow, _is_async("shadow", shadow)
        self._reporter = Reporter(self._mirror, hook)
        # Its other half: a request is taken down before the primary may change it, and published after.
        self._take, self._publish = hook._begin, hook._end  # noqa: SLF001
        self._pool = self._make_pool()
        _lifetime.at_fork(self)

    def stats(self) -> RouterStats:
        """What became of the requests that the shadow was to answer, in this process."""
        return self._pool.stats()

    def close(self, timeout: float | None = None) -> None:
        """Shadow nothing more; what was taken gets so long (by default half of the hook's `exit_seconds`).

        What is not finished then becomes an error of stage `timeout`. Close the router before its hook,
        which sends its last results. `predict` goes on answering, and publishing.
        """
        self._pool.close(timeout)

    def forked(self) -> None:
        """Start anew in a forked child; Python calls it."""
        before = self._pool
        self._pool = self._make_pool()
        self._pool.closed = before.closed

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.retire()

    def _answered(self, taken: Observation | BaseException | None, begun: int, answer: Any) -> Any:
        published = self._publish(taken, None, answer, (time.perf_counter_ns() - begun) / _NANOSECONDS)
        if published is not None:
            self._pool.put(published)
        return answer

    def _make_pool(self) -> ShadowPool:
        if not self._shadow_is_async:
            return ShadowPool(self._mirror, self._shadow, self._reporter)
        from shadowlane.producer._shadow_loop import LoopPool  # noqa: PLC0415 (asyncio takes long to import)

        return LoopPool(self._mirror, self._shadow, self._reporter)


class ModelRouter(_Router):
    """Answers with the primary, as soon as it has answered; the shadow is asked afterwards. For asyncio.

        router = ModelRouter(primary, shadow, hook=hook, shadow_name="boosting-2")
        answer = await router.predict(features, entity_id="user-1")

    Each request is published through the hook, as `hook.observe` does it, and what of them the hook
    takes is shadowed: on a copy of the features (a dict), in threads (an async shadow: in an event loop)
    that no caller and no exit waits for, within a time. Each becomes one comparison or one error, as if a
    replay worker had replayed it under this `run`. Nothing that the shadow does reaches the caller;
    but it shares the service's interpreter and memory, and a crash of native code is the service's.

    Args:
        primary: Sync or async; it is given the features as they are. A sync one runs in the event loop,
            as it would without a router.
        shadow: Sync or async; it is given a dict of its own.
        hook: Publishes the requests and sends the results; close it after the router.
        shadow_name: The shadow's name in the report.
        shadow_version: Its version.
        comparator: When the two agree, such as `auto` or `score:0.01`.
        run: What the results are counted under.
        keep_features: Which comparisons carry the features: `disagreements`, `all` or `none`.
        timeout: How many seconds the shadow may take for a request.
        concurrency: On how many requests it may be at a time.
        queue_size: How many may wait for it, as long as they take no more memory than the hook's
            `limits.queue_bytes`; one more is an error, `ShadowBusy`.

    Raises:
        SettingsError: a name or figure is not what it must be.
        TypeError: one of the models is nothing that answers a call with one prediction.
    """

    async def predict(
        self,
        features: Any,
        *,
        entity_id: object = None,
        segments: Mapping[str, Any] | None = None,
        request_id: object = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The primary's answer; what it raises passes on, and the request is then `primary_failed`.

        Args:
            features: What the primary is given; the rest as for `Hook.publish`.
            entity_id: Whom or what the request is about.
            segments: Named cohorts of the request.
            request_id: The caller's id of the request.
            context: Trace ids and the like.
        """
        taken = self._take(features, request_id, entity_id, segments, None, context)
        begun = time.perf_counter_ns()
        try:
            answer = self._primary(features)
            if hasattr(answer, "__await__"):
                answer = await answer
        except BaseException as error:  # the caller's own end, too
            self._publish(taken, error, NOT_SET, 0.0)
            raise
        return self._answered(taken, begun, answer)

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (it cancels nothing)
        """`close`, with no wait in the event loop."""
        from asyncio import to_thread  # noqa: PLC0415 (who awaits this has it loaded)

        await to_thread(self.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()


class SyncModelRouter(_Router):
    """`ModelRouter` for a service of threads: `router.predict(features)` returns the primary's answer.

    The primary is sync; the shadow may be async. All else is as there.
    """

    _awaits = False

    def predict(
        self,
        features: Any,
        *,
        entity_id: object = None,
        segments: Mapping[str, Any] | None = None,
        request_id: object = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The primary's answer; arguments and all as for `ModelRouter.predict`."""
        taken = self._take(features, request_id, entity_id, segments, None, context)
        begun = time.perf_counter_ns()
        try:
            answer = self._primary(features)
        except BaseException as error:  # the caller's own end, too
            self._publish(taken, error, NOT_SET, 0.0)
            raise
        return self._answered(taken, begun, answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _is_async(which: str, model: Any) -> bool:
    """Whether a model is async.

    Raises:
        TypeError: it is nothing that answers a call with one prediction.
    """
    try:
        return is_async(model)
    except TypeError:
        raise TypeError(
            f"the {which} must be a function or callable object, sync or async, that takes the features "
            f"and returns one prediction, not {type(model).__name__}: give its method, such as model.predict"
        ) from None
