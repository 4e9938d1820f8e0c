"""The requests hour by hour, by when they were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._strata import Strata

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hours:
    """Counts of each hour that has any request, in order; `hour` is since 1970, in UTC."""

    hour: Counts
    compared: Counts
    ignored: Counts
    agreements: Counts
    errored: Counts


def hours(strata: Strata) -> Hours:
    """The counts, from those that were made by kind."""
    rows = [
        (
            each.hour,
            each.requests,
            each.requests * (each.agreement is None),
            each.requests * bool(each.agreement),
            0,
        )
        for each in strata.compared
        if each.hour is not None
    ]
    rows += [(each.hour, 0, 0, 0, each.requests) for each in strata.errored if each.hour is not None]
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    hour, place = np.unique(columns[0], return_inverse=True)
    sums = np.zeros((4, len(hour)), np.int64)
    for total, column in zip(sums, columns[1:], strict=True):
        np.add.at(total, place, column)
    return Hours(hour, *sums)
