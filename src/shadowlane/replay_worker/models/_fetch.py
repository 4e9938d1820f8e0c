"""Features that a model has to look up: fetched before it is asked, each request within its time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import tenacity

from shadowlane.errors import ModelError, TransientError
from shadowlane.replay_worker._features import FeatureBatch, RequestContext
from shadowlane.replay_worker._fetched import differing, merged
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._call_errors import SHADOW_HEADER
from shadowlane.replay_worker.models._lookups import Lookup, Lookups
from shadowlane.replay_worker.models._python import attribute_of
from shadowlane.schemas import Failure, Features, as_mapping

_ATTEMPTS = 3
_WAIT = tenacity.wait_random_exponential(multiplier=0.1, max=1.0)
_TRANSIENT = (TransientError, ConnectionError, TimeoutError)

Values = dict[str, Any]


@runtime_checkable
class Fetch(Protocol):
    """A look-up of one's own; `fetch_many(features, contexts)` beside it answers many requests at once.

    It is called from several threads, and must only read.
    """

    def fetch(self, features: Mapping[str, Any], context: RequestContext) -> Mapping[str, Any]:
        """The features of one request that are not, or not only, what the primary had."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch with the features that were fetched; a request for which that failed is not in it."""

    batch: FeatureBatch
    #: Which rows of the batch that was given these are.
    rows: Sequence[int]
    #: For each, what was fetched and differs from what the primary had.
    differing: pa.StructArray
    failures: Sequence[tuple[int, Failure]]


class Fetcher:
    """Looks features up with the user's own code."""

    def __init__(self, target: Any, *, threads: int, seconds: float) -> None:
        self._many: Callable[..., Any] | None = getattr(target, "fetch_many", None)
        self._one: Callable[..., Any] | None = getattr(target, "fetch", None)
        if self._one is None and self._many is None and callable(target):
            self._one = target
        if self._one is None and self._many is None:
            raise ModelError(
                f"a {type(target).__name__} fetches nothing: neither callable, nor has it fetch or fetch_many"
            )
        self._lookups = Lookups(threads, seconds)
        self._retrying = tenacity.Retrying(
            reraise=True,
            retry=tenacity.retry_if_exception_type(_TRANSIENT),
            wait=_WAIT,
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(_ATTEMPTS), tenacity.stop_after_delay(seconds)
            ),
        )

    def run(self, batch: FeatureBatch, on_beat: Callable[[], None] = lambda: None) -> Fetched:
        """Look up for each request of the batch; `on_beat` is told of each that is settled."""
        given = batch.dicts()
        contexts = [
            replace(each, headers={**each.headers, SHADOW_HEADER: "true"}) for each in batch.contexts()
        ]
        found, rows, failures = [], [], []
        for row, outcome in enumerate(self._outcomes(given, contexts)):
            on_beat()
            if isinstance(outcome, Failure):
                failures.append((row, outcome))
            else:
                rows.append(row)
                found.append(outcome)
        kept = batch if len(rows) == len(batch) else batch.take(rows)
        had = [given[row] for row in rows]
        columns = kept.columns
        with_found = columns.set_column(0, columns.schema.field(0), merged(had, found, kept.arrow.type))
        return Fetched(FeatureBatch.of(with_found), rows, differing(had, found), failures)

    def _outcomes(
        self, given: Sequence[Values], contexts: Sequence[RequestContext]
    ) -> Iterator[Values | Failure]:
        """What was found for each, or why nothing was."""
        if self._many is not None and len(given) > 1:
            together = self._together(given, contexts)
            if together is not None:
                yield from together
                return
        asks = [self._ask_one(*each) for each in zip(given, contexts, strict=True)]
        for look in self._lookups.start(asks):
            look.wait()
            yield self._outcome(look)

    def _together(
        self, given: Sequence[Values], contexts: Sequence[RequestContext]
    ) -> Sequence[Values] | None:
        """What one call found for all; None where it failed, for any of them."""
        (look,) = self._lookups.start([self._ask_many(given, contexts)])
        look.wait()
        return look.value if look.error is None else None

    def _ask_one(self, features: Values, context: RequestContext) -> Callable[[Lookup], Values]:
        one = self._one
        if one is None:
            ask = self._ask_many([features], [context])
            return lambda look: ask(look)[0]
        return lambda look: _read(self._patiently(look, lambda: one(dict(features), context)))

    def _ask_many(
        self, given: Sequence[Values], contexts: Sequence[RequestContext]
    ) -> Callable[[Lookup], Sequence[Values]]:
        many = self._many
        assert many is not None  # noqa: S101 - for the type checker; the constructor saw to it

        def ask(look: Lookup) -> Sequence[Values]:
            found = self._patiently(look, lambda: many([dict(each) for each in given], list(contexts)))
            if len(found) != len(given):
                raise ModelError(f"{len(given)} requests, but fetch_many gave {len(found)} answers")
            return [_read(each) for each in found]

        return ask

    def _patiently(self, look: Lookup, call: Callable[[], Any]) -> Any:
        """Call it, and again where its failure may pass and there is time."""

        def once() -> Any:
            look.attempts += 1
            return call()

        return self._retrying(once)

    def _outcome(self, look: Lookup) -> Values | Failure:
        if look.error is None:
            values: Values = look.value
            return values
        return Failure.of("fetch", look.error)._replace(attempts=max(1, look.attempts))


def load_fetcher(source: ModelSource) -> Fetcher | None:
    """The look-up that a model's source names; None: it names none.

    Raises:
        ModelError: it cannot be loaded, or its time limit does not go with the model's.
    """
    if source.fetch is None:
        return None
    if not 0 < source.fetch_seconds < source.call_seconds:
        raise ModelError(
            f"fetch {source.fetch!r}: its time limit of {source.fetch_seconds:g} s must be above 0 and below "
            f"that of a call, {source.call_seconds:g} s"
        )
    if not source.fetch.startswith("python:"):
        raise ModelError(f"fetch {source.fetch!r}: write python:package.module:attribute")
    try:
        target = attribute_of(source.fetch)
        return Fetcher(target, threads=source.concurrency, seconds=source.fetch_seconds)
    except ModelError as error:
        raise ModelError(f"fetch {source.fetch!r}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: SystemExit and native panics too
        raise ModelError(f"fetch {source.fetch!r} failed to load: {type(error).__name__}: {error}") from error


def _read(found: Any) -> Values:
    """What a look-up gave, as the event would hold it."""
    return Features.of(as_mapping("what fetch gives", found)).to_dict()
