"""The numbers of the compared requests, read once: columns in parts, that many figures are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._strata import Strata, summed
from shadowlane.lake import OpenLake

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Of requests without an event time.
NO_HOUR = 24

_INFINITY = np.float64(np.inf).view(np.int64)
_HOUR_US = 3_600_000_000

SCORES = ("primary_score", "shadow_score")
LATENCIES = ("primary_latency_ms", "shadow_latency_ms")
RESOURCES = ("shadow_cpu_ms", "shadow_gpu_ms", "shadow_memory_mb")
LAG = "replay_lag_ms"
MOMENT = "event_us"

_MADE = {
    MOMENT: "epoch_us(event_time)",
    "basis": "list_position($bases, latency_basis)::UTINYINT",
    "has_missing": "len(missing_features) > 0",  # null: nothing is known of what was missing
    "has_fetched": "fetched.missing IS NOT NULL",
}
#: All that the report looks at row by row.
EVERY = (*SCORES, *LATENCIES, *RESOURCES, LAG, "agreement", *_MADE)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the compared requests, in no particular order."""

    batch: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers; of floats, null is NaN."""
        values: NDArray[Any] = self.batch.column(name).to_numpy(zero_copy_only=False)
        return values

    def hour_of_day(self) -> NDArray[np.int64]:
        """When each was made, in UTC; `NO_HOUR` where that is not known."""
        moments = self.numbers(MOMENT)
        if not self.batch.column(MOMENT).null_count:
            return moments // _HOUR_US % NO_HOUR
        return np.where(np.isnan(moments), NO_HOUR, moments // _HOUR_US % NO_HOUR).astype(np.int64)

    def is_given(self, name: str) -> Flags:
        """Where the column has a value, be it NaN."""
        column = self.batch.column(name)
        if not column.null_count:
            return np.ones(len(column), bool)
        given: Flags = column.is_valid().to_numpy(zero_copy_only=False)
        return given

    def given(self, name: str) -> int:
        """Of how many requests the column has a value."""
        column = self.batch.column(name)
        return len(column) - int(column.null_count)

    def is_true(self, name: str) -> Flags:
        """Where a column of flags is true; null is not."""
        column = self.batch.column(name)
        filled = column.fill_null(False) if column.null_count else column
        flags: Flags = filled.to_numpy(zero_copy_only=False)
        return flags


@dataclass(frozen=True, slots=True)
class Columns:
    """All compared requests."""

    parts: tuple[Part, ...]
    bases: tuple[str, ...]  # how their shadows were timed, the most frequent first

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def has(self, name: str) -> bool:
        """Whether this column was read."""
        return all(name in part.batch.schema.names for part in self.parts)

    def of_basis(self, basis: str) -> Iterator[tuple[Part, Flags | None]]:
        """Each part, and which of its requests were timed so; None: all."""
        code = self.bases.index(basis) + 1
        for part in self.parts:
            yield part, None if len(self.bases) == 1 else part.numbers("basis") == code


def columns(lake: OpenLake, strata: Strata, names: Sequence[str] = EVERY) -> Columns:
    """Read these columns of the compared requests, all in one pass."""
    bases = tuple(summed(strata, lambda each: each.latency_basis))
    # The comparison of a text costs more than the reading of a number.
    names = [name for name in names if name != "basis" or len(bases) > 1]
    listed = ", ".join(f"{_MADE.get(name, name)} AS {name}" for name in names)
    values = {"bases": [*bases]} if "basis" in names else {}
    table = lake.columns(f"SELECT {listed} FROM compared", values)  # noqa: S608 - names of columns, ours
    return Columns(tuple(map(Part, table.to_batches())), bases)


def finite(values: Floats) -> Floats:
    """Those that are finite: the same array where all are."""
    flags = is_finite(values)
    return values if flags is None else values[flags]


def usable(values: Floats) -> Floats:
    """Those that can be a time or an amount, finite and not below 0: the same array where all can."""
    flags = is_usable(values)
    return values if flags is None else values[flags]


def is_finite(values: Floats) -> Flags | None:
    """Which are finite; None: all."""
    # The extremes are found in half the time that it takes to look at each; that of NaN is NaN.
    if not len(values) or (values.min() > -np.inf and values.max() < np.inf):
        return None
    return np.isfinite(values)


def is_usable(values: Floats) -> Flags | None:
    """Which are finite, and not below 0; None: all."""
    bits = values.view(np.int64)  # in the order of the floats from 0 to infinity, then NaN
    if not len(values) or (bits.min() >= 0 and bits.max() < _INFINITY):
        return None
    flags: Flags = (values >= 0) & (values < np.inf)
    return flags
