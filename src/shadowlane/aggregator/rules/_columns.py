"""What requests can be told apart by, as columns: a value of each request for each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """Texts, as codes: -1 is none, else the place among `values`."""

    name: str
    codes: NDArray[np.int32]
    values: tuple[str, ...]
    of: str = ""  # what the name is a name of: segment, feature, …
    is_none: bool = True  # whether `country is none` is a term


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers; NaN is none, and no term holds for it."""

    name: str
    values: NDArray[np.float64]
    of: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Flags:
    """Something that is so for some requests: `history is missing`."""

    name: str
    values: NDArray[np.bool_]
    says: str  # missing, absent, …
    of: str = ""


Column = Categories | Numbers | Flags


def taken(column: Column, rows: NDArray[np.int64]) -> Column:
    """The column of these rows only."""
    if isinstance(column, Categories):
        return replace(column, codes=column.codes[rows])
    if isinstance(column, Flags):
        return replace(column, values=column.values[rows])
    return replace(column, values=column.values[rows])
