"""A runner whose requests get the features first that the model's look-up fetches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, no_answers, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker.isolation._chunks import Chunk
from shadowlane.replay_worker.isolation._progress import TOGETHER
from shadowlane.replay_worker.isolation._runner import Runner
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._fetch import Fetched, Fetcher

# A part of a batch is fetched for, then asked about: so that what is known by the time a batch is cut is
# not for nothing. Parts grow while a look-up of one takes less than this.
_PART_SECONDS = 0.5
_FIRST_ROWS = 50


def open_runner(
    model: LoadedModel,
    fetcher: Fetcher | None,
    *,
    batch: bool,
    on_row: Callable[[int], None] = lambda _row: None,
    on_beat: Callable[[], None] = lambda: None,
) -> Runner | Fetching:
    """What asks the model; without a look-up nothing stands between."""
    if fetcher is None:
        return Runner(model, batch=batch, on_row=on_row, on_beat=on_beat)
    return Fetching(model, fetcher, batch=batch, on_row=on_row, on_beat=on_beat)


class Fetching:
    """Fetches, and asks about what was fetched; its time is none of the model's."""

    def __init__(
        self,
        model: LoadedModel,
        fetcher: Fetcher,
        *,
        batch: bool,
        on_row: Callable[[int], None],
        on_beat: Callable[[], None],
    ) -> None:
        self._fetcher, self._on_row, self._on_beat = fetcher, on_row, on_beat
        self._runner = Runner(model, batch=batch, on_row=self._asks, on_beat=on_beat)
        self._rows = np.zeros(0, np.int64)
        self._size = _FIRST_ROWS

    @property
    def gpu_memory_mb(self) -> float | None:
        """The most GPU memory that this process ever had."""
        return self._runner.gpu_memory_mb

    def run(self, features: FeatureBatch, *, apart: bool = False) -> Iterator[Chunk]:
        """Answers and failures, those of the look-up among them; together they hold each row once."""
        start = 0
        while start < len(features):
            rows = range(start, min(start + (1 if apart else self._size), len(features)))
            self._on_row(start if apart else TOGETHER)
            begun = monotonic()
            fetched = self._fetcher.run(features.take(rows), self._on_beat)
            self._resize(len(rows), monotonic() - begun)
            self._rows = start + np.array(fetched.rows, np.int64)
            yield Chunk(no_answers(), [(start + row, failure) for row, failure in fetched.failures])
            for chunk in self._runner.run(fetched.batch, apart=apart):
                yield self._placed(chunk, fetched)
                if chunk.unavailable is not None:
                    return
            start = rows.stop

    def _asks(self, row: int) -> None:
        """The runner counts the rows that it was given."""
        self._on_row(row if row < 0 else int(self._rows[row]))

    def _placed(self, chunk: Chunk, fetched: Fetched) -> Chunk:
        """The same by the rows of the batch, and with what was fetched."""
        rows, answers = self._rows, chunk.answers
        places = answers.column("row").to_numpy()
        columns = dict(zip(answers.schema.names, answers.columns, strict=True)) | {
            "row": numbers(rows[places].astype(np.int32)),
            "fetched": fetched.differing.take(numbers(places.astype(np.int64))),
        }
        return Chunk(
            pa.RecordBatch.from_arrays([columns[name] for name in ANSWERS.names], schema=ANSWERS),
            [(int(rows[row]), failure) for row, failure in chunk.failures],
            [int(rows[row]) for row in chunk.starved],
            chunk.unavailable,
        )

    def _resize(self, rows: int, seconds: float) -> None:
        if rows == self._size and seconds < _PART_SECONDS:
            self._size *= 2
        elif seconds > 2 * _PART_SECONDS:
            self._size = max(_FIRST_ROWS, self._size // 2)
