"""What the primary answered where the request does not say: a replica of it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import Answered, in_order, numbers
from shadowlane.replay_worker._requests import PRIMARY_SOURCE, RequestBatch, Rows
from shadowlane.replay_worker.isolation import ModelHost
from shadowlane.schemas import Failure


class Replica:
    """A load of the primary's own model, asked about the requests that come without its prediction."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host

    def fill(
        self, requests: RequestBatch, answered: Answered, give_up: Callable[[], bool]
    ) -> tuple[RequestBatch, Answered]:
        """The requests with the predictions that were missing.

        One on which the replica fails is no answer but a failure; what it did not come to is not done.
        The time it took is not production's, so the primary's latency stays unknown.
        """
        rows = answered.rows
        is_bare = requests.columns.column("prediction").is_null().to_numpy(zero_copy_only=False)
        bare = rows[is_bare[rows]].astype(np.int64)
        if not len(bare):
            return requests, answered
        asked = requests.select(bare).features(context=self._host.wants_context)
        said = self._host.run(asked, give_up)
        if said.done < len(bare):
            answered = _before(int(bare[said.done]), answered)
        failures = [(int(bare[row]), _replicas(failure)) for row, failure in said.failures]
        filled = with_primary(requests, bare[said.rows], said.answers.column("prediction"))
        return filled, _failed_too(answered, failures)

    def close(self) -> None:
        """Let go of the model."""
        self._host.close()


def with_primary(
    requests: RequestBatch, rows: Rows, predictions: pa.StructArray, latency_ms: pa.DoubleArray | None = None
) -> RequestBatch:
    """The requests with these as the primary's predictions in these rows, which then say so."""
    count = len(requests)
    # Behind each column the values that take the place of some of it; then each row picks one.
    picked = np.arange(count)
    picked[rows] = count + np.arange(len(rows))
    latency_ms = pa.nulls(len(rows), pa.float64()) if latency_ms is None else latency_ms
    columns = requests.columns
    marks = np.full(count, "observed", dtype=object)
    marks[rows] = "replayed"
    for name, values in (("prediction", predictions), ("latency_ms", latency_ms)):
        place, column = columns.schema.get_field_index(name), columns.column(name)
        both = pa.concat_arrays([column, values.cast(column.type)])
        columns = columns.set_column(place, columns.schema.field(name), both.take(numbers(picked)))
    if PRIMARY_SOURCE in columns.schema.names:
        columns = columns.remove_column(columns.schema.get_field_index(PRIMARY_SOURCE))
    columns = columns.append_column(PRIMARY_SOURCE, pa.array(marks, pa.string()))
    return replace(requests, columns=columns)


def _replicas(failure: Failure) -> Failure:
    return failure._replace(stage="predict", message=f"the primary's replica: {failure.message}")


def _before(done: int, answered: Answered) -> Answered:
    """The part of it before this row."""
    failures = [each for each in answered.failures if each[0] < done]
    return replace(answered, answers=in_order([answered.answers], done), failures=failures, done=done)


def _failed_too(answered: Answered, failures: list[tuple[int, Failure]]) -> Answered:
    """The same, with these failures in place of the answers to their rows."""
    if not failures:
        return answered
    is_kept = ~np.isin(answered.rows, [row for row, _ in failures])
    answers = answered.answers.take(numbers(np.flatnonzero(is_kept)))
    return replace(answered, answers=answers, failures=[*answered.failures, *failures])
