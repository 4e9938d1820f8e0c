"""Ask a model about a batch and time it; whatever it does, each request gets an answer or a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from time import perf_counter_ns
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import no_answers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker.isolation._chunks import AMORTIZED, SINGLE, WARM_UP, Calls, Chunk, columns_of
from shadowlane.replay_worker.isolation._gpu import Gpu, find_gpu
from shadowlane.replay_worker.isolation._progress import PREPARING, READING, TOGETHER
from shadowlane.replay_worker.isolation._timing import Taken, as_told, timed, timed_in_thread
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._call_errors import UnavailableError

WARM_UP_CALLS = 10
# Of a batch so many rows are timed alone; more would cost more than the batch itself.
_ONE_IN, _MOST_ALONE = 100, 5
# Of a call: wall time, processor time, a GPU's time (NaN where there is none).
_FIGURES = 3
# What is answered is handed on this often, so that little is asked again after a crash.
_CHUNK_NS = 100_000_000
_CHUNK_SECONDS = _CHUNK_NS / 1e9


class Runner:
    """Runs one loaded model; its first calls are marked as warm-up."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        batch: bool = False,
        on_row: Callable[[int], None] = lambda _row: None,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the model.

        Args:
            model: The model.
            batch: Whether to ask about all requests at once.
            on_row: Told which row is asked about next, before it is.
            on_beat: Told of each answer where several are asked for at once.
        """
        self._model, self._batch = model, batch
        self._on_row, self._on_beat = on_row, on_beat
        self._calls = 0
        self._wait = model.wait if type(model).wait is not LoadedModel.wait else None
        self._single = model.single if type(model).single is not LoadedModel.single else None
        self._gpu: Gpu | None = None
        self._set_clocks()
        self._pool = ThreadPoolExecutor(model.concurrency) if model.concurrency > 1 else None

    @property
    def gpu_memory_mb(self) -> float | None:
        """The most GPU memory that this process ever had."""
        return self._gpu.peak_bytes() / 1024**2 if self._gpu else None

    def run(self, features: FeatureBatch, *, apart: bool = False) -> Iterator[Chunk]:
        """Answers and failures; together they hold each row once. `apart`: ask about each alone."""
        self._look_for_gpu()
        self._on_row(PREPARING)
        try:
            inputs = self._model.prepare(features)
        except UnavailableError as error:
            yield Chunk(no_answers(), unavailable=str(error))
            return
        except BaseException:
            yield from self._prepared_apart(features)  # find out whose fault it was
            return
        if self._batch and not apart:
            yield from self._together(inputs, len(features))
        elif self._pool is not None and not apart and len(features) > 1:
            yield from self._at_once(inputs, len(features), self._pool)
        else:
            yield from self._each(inputs, range(len(features)))

    def _prepared_apart(self, features: FeatureBatch) -> Iterator[Chunk]:
        """Inputs that cannot be made for all together are made one by one."""
        for row in range(len(features)):
            self._on_row(row)
            calls = Calls()
            try:
                inputs = self._model.prepare(features.take([row]))
                calls.done.append((row, self._one(inputs, 0)))
            except UnavailableError as error:
                yield Chunk(no_answers(), unavailable=str(error))
                return
            except BaseException as error:
                calls.failed(row, error)
            yield self._chunk(calls)

    def _each(self, inputs: Any, rows: Sequence[int]) -> Iterator[Chunk]:
        """One after the other, each timed alone."""
        on_row, ask, clock = self._on_row, self._one, perf_counter_ns
        calls, begun, unavailable = Calls(), clock(), None
        keep = calls.done.append
        for row in rows:
            on_row(row)
            try:
                keep((row, ask(inputs, row)))
            except UnavailableError as error:
                unavailable = str(error)
                break
            except BaseException as error:  # the model is foreign code: SystemExit and panics too
                calls.failed(row, error)
                self._check_gpu()
            if clock() - begun > _CHUNK_NS:
                yield self._chunk(calls)
                calls, begun = Calls(), clock()
                keep = calls.done.append
        yield self._chunk(calls, unavailable)

    def _at_once(self, inputs: Any, rows: int, pool: ThreadPoolExecutor) -> Iterator[Chunk]:
        """Several at a time, for a model that waits for others; each is timed in its thread."""
        self._on_row(TOGETHER)
        ask = self._cut_out(self._told(timed_in_thread(self._model.one)))
        rest, unavailable, limit = iter(range(rows)), None, 2 * self._model.concurrency
        waiting: dict[Future[Taken], int] = {}
        calls, begun = Calls(), perf_counter_ns()
        while True:
            while unavailable is None and len(waiting) < limit and (row := next(rest, None)) is not None:
                waiting[pool.submit(ask, inputs, row)] = row
            if not waiting:
                break
            for future in wait(waiting, _CHUNK_SECONDS, FIRST_COMPLETED).done:
                row, error = waiting.pop(future), future.exception()
                self._on_beat()
                if error is None:
                    calls.done.append((row, future.result()))
                elif isinstance(error, UnavailableError):
                    unavailable = str(error)
                else:
                    calls.failed(row, error)
            if perf_counter_ns() - begun > _CHUNK_NS:
                yield self._chunk(calls)
                self._on_row(TOGETHER)
                calls, begun = Calls(), perf_counter_ns()
        yield self._chunk(calls, unavailable)

    def _together(self, inputs: Any, rows: int) -> Iterator[Chunk]:
        """One call for all, its time shared out; a few rows are then timed alone."""
        if not rows:
            return
        self._on_row(TOGETHER)
        try:
            taken = self._many(inputs)
            self._on_row(READING)
            predictions = self._model.read_many(taken[0], rows)
        except UnavailableError as error:
            yield Chunk(no_answers(), unavailable=str(error))
            return
        except BaseException:
            self._check_gpu()
            yield from self._each(inputs, range(rows))  # find out whose fault it was
            return
        basis = np.full(rows, AMORTIZED if self._calls else WARM_UP)
        took = np.tile(np.array(taken[1:], np.float64) / rows, (rows, 1))
        for row in range(0, rows, max(_ONE_IN, rows // _MOST_ALONE)):
            self._on_row(row)
            self._calls += 1
            with suppress(BaseException):  # it has its answer; this is for the clock alone
                took[row] = self._one(inputs, row)[1:]
                basis[row] = WARM_UP if self._calls <= WARM_UP_CALLS else SINGLE
        self._on_row(READING)
        yield Chunk(columns_of(np.arange(rows), predictions, took, basis))

    def _chunk(self, calls: Calls, unavailable: str | None = None) -> Chunk:
        """The calls' answers as columns; one that has no form as a prediction is a failure."""
        self._on_row(READING)  # an answer's own code may run while it is read: whose it was is open then
        done = calls.done
        rows = np.fromiter((row for row, _ in done), np.int64, len(done))
        is_warm = self._is_warm(rows, [row for row, _ in calls.failures])
        took = np.array([taken[1:] for _, taken in done], np.float64).reshape(len(done), _FIGURES)
        predictions, kept = self._read(calls)
        if len(kept) < len(done):
            rows, is_warm, took = rows[kept], is_warm[kept], took[kept]
        basis = np.where(is_warm, WARM_UP, SINGLE)
        return Chunk(columns_of(rows, predictions, took, basis), calls.failures, calls.starved, unavailable)

    def _is_warm(self, rows: np.ndarray[Any, Any], failed: list[int]) -> np.ndarray[Any, Any]:
        """Which of these rows were among the first calls; one that failed was a call, too."""
        before, self._calls = self._calls, self._calls + len(rows) + len(failed)
        if before >= WARM_UP_CALLS:
            return np.zeros(len(rows), dtype=bool)
        order = np.searchsorted(np.sort(np.concatenate([rows, np.array(failed, np.int64)])), rows)
        return order + before < WARM_UP_CALLS

    def _read(self, calls: Calls) -> tuple[pa.StructArray, list[int]]:
        """The predictions in single answers, and of which calls; an answer that is none is a failure."""
        answers = [taken[0] for _, taken in calls.done]
        with suppress(BaseException):
            return self._model.read_each(answers), list(range(len(answers)))
        kept = []
        for place, answer in enumerate(answers):
            try:
                self._model.read_each([answer])
            except BaseException as error:
                calls.failed(calls.done[place][0], error)
            else:
                kept.append(place)
        return self._model.read_each([answers[place] for place in kept]), kept

    def _look_for_gpu(self) -> None:
        """A model may set its GPU up when it is first asked."""
        if self._gpu is None:
            self._gpu = find_gpu()
            if self._gpu is not None:
                self._set_clocks()

    def _set_clocks(self) -> None:
        self._many = self._told(timed(self._model.many, self._wait, self._gpu))
        self._one = self._cut_out(self._told(timed(self._model.one, self._wait, self._gpu)))

    def _cut_out(self, ask: Callable[..., Taken]) -> Callable[..., Taken]:
        """Ask about one request, cut out of the inputs beforehand where that costs something."""
        single = self._single
        return ask if single is None else lambda inputs, row: ask(*single(inputs, row))

    def _told(self, call: Callable[..., Taken]) -> Callable[..., Taken]:
        """With the time that the model says, for one that does."""
        return call if type(self._model).took is LoadedModel.took else as_told(call, self._model.took)

    def _check_gpu(self) -> None:
        """After a failure: a GPU that one call has broken fails all later ones of the process, too.

        Raises:
            ModelError: it is broken.
        """
        if self._gpu is not None:
            try:
                self._gpu.end()
            except BaseException as error:
                raise ModelError("the GPU cannot be used any more after a failed call") from error
