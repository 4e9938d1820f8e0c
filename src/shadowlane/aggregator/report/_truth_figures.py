"""The figures of ground truth: pure functions of a label's columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._rates import interval, rate_of
from shadowlane.aggregator.report._truth_judged import HORIZONS, Flags, Floats, Judged
from shadowlane.aggregator.report.figures import (
    Correctness,
    Horizon,
    Interval,
    NumericError,
    Rate,
)
from shadowlane.aggregator.statistics import (
    clustered_rate_interval,
    mcnemar_p,
    mean_interval,
    paired_difference,
    rate,
)

_BY_USER = "by user"
# Beyond it the square of a distance is no number any more.
_TOO_FAR = 1e150


@dataclass(frozen=True, slots=True)
class Users:
    """Whose each request is, from 0; None where no two requests are of one user."""

    of: NDArray[np.int64] | None

    @classmethod
    def among(cls, entities: NDArray[np.uint64], where: Flags) -> Users:
        """The users of these requests, where some have several of those looked at."""
        found, of = np.unique(entities, return_inverse=True)
        looked_at = np.bincount(of[where], minlength=len(found))
        return cls(of if looked_at.max(initial=0) > 1 else None)

    def sums(self, where: Flags, *values: Floats) -> list[Floats]:
        """The values of the requests looked at, added up by user; users without any are left out."""
        if self.of is None:
            return [value[where] for value in values]
        of = self.of[where]
        some = np.bincount(of) > 0
        return [np.bincount(of, value[where]).astype(np.float64)[some] for value in values]

    def count(self, where: Flags) -> int | None:
        """How many they are, where requests cluster."""
        return None if self.of is None else int(np.count_nonzero(np.bincount(self.of[where])))

    def mean_interval(self, values: Floats, where: Flags, level: float) -> tuple[float, float] | None:
        """Where the mean of the values lies, a user's requests taken as one piece of evidence."""
        parts, wholes = self.sums(where, values, np.ones(len(values)))
        units, n = len(wholes), wholes.sum()
        if units < 2:  # noqa: PLR2004 - one shows nothing of the others
            return None
        mean = parts.sum() / n
        # The sample's standard deviation of what each unit adds to the mean, times the number of units.
        sd = math.sqrt(float(np.sum((parts - wholes * mean) ** 2)) / (units - 1)) * units / n
        low, high = mean_interval(float(mean), sd, units, level)
        return float(low), float(high)

    @property
    def method(self) -> str:
        """What an interval of a mean rests on."""
        return "Student" if self.of is None else f"Student, {_BY_USER}"


def correctness(judged: Judged, users: Users, where: Flags, level: float) -> Correctness | None:
    """Both models' correctness over those of these requests of which it can be said."""
    where = where & (judged.primary_correct >= 0)
    requests = int(np.count_nonzero(where))
    if not requests:
        return None
    primary, shadow = judged.primary_correct == 1, judged.shadow_correct == 1
    only_primary = int(np.count_nonzero(where & primary & ~shadow))
    only_shadow = int(np.count_nonzero(where & shadow & ~primary))
    return Correctness(
        requests=requests,
        primary=_share(primary, users, where, level),
        shadow=_share(shadow, users, where, level),
        difference=(only_shadow - only_primary) / requests,
        difference_interval=_difference(judged, users, where, (only_primary, only_shadow), level),
        only_primary=only_primary,
        only_shadow=only_shadow,
        mcnemar_p=mcnemar_p(only_primary, only_shadow),
    )


def _share(correct: Flags, users: Users, where: Flags, level: float) -> Rate:
    part, whole = int(np.count_nonzero(correct & where)), int(np.count_nonzero(where))
    if users.of is None:
        return rate_of(part, whole, level)
    parts, wholes = users.sums(where, correct.astype(np.float64), np.ones(len(correct)))
    bounds = clustered_rate_interval(parts, wholes, level)
    return Rate(
        part=part,
        whole=whole,
        value=rate(part, whole),
        interval=interval(bounds, level, f"Wilson, {_BY_USER}"),
    )


def _difference(
    judged: Judged, users: Users, where: Flags, only: tuple[int, int], level: float
) -> Interval | None:
    """Of users no narrower than if each request stood alone: none that differs would leave it no width."""
    alone = paired_difference(*only, int(np.count_nonzero(where)), level)
    if users.of is None:
        return interval(alone, level, "Tango")
    differences = judged.shadow_correct.astype(np.float64) - judged.primary_correct
    found = users.mean_interval(differences, where, level) or (-1.0, 1.0)
    bounds = max(-1.0, min(alone[0], found[0])), min(1.0, max(alone[1], found[1]))
    return interval(bounds, level, f"Tango, {_BY_USER}")


def horizons(judged: Judged, users: Users, due: Sequence[int], level: float) -> tuple[Horizon, ...]:
    """What was known so many days after the request, of the requests that are that old."""
    found = []
    for place, (days, requests) in enumerate(zip(HORIZONS, due, strict=True)):
        is_known = judged.known_within(place)
        found.append(
            Horizon(
                days=days,
                due=requests,
                labelled=int(np.count_nonzero(is_known)),
                correctness=correctness(judged, users, is_known, level),
            )
        )
    return tuple(found)


def numeric_error(judged: Judged, users: Users, level: float) -> NumericError | None:
    """How far both models' scores are from the numbers that came out."""
    is_measured = (judged.is_latest == 1) & (judged.is_measured == 1)
    where = is_measured & (judged.primary_error < _TOO_FAR) & (judged.shadow_error < _TOO_FAR)
    requests = int(np.count_nonzero(where))
    if not requests:
        return None
    primary, shadow = judged.primary_error[where], judged.shadow_error[where]
    differences = np.where(where, judged.shadow_error, 0.0) - np.where(where, judged.primary_error, 0.0)
    bounds = users.mean_interval(differences, where, level)
    return NumericError(
        requests=requests,
        primary_mean_absolute=float(primary.mean()),
        shadow_mean_absolute=float(shadow.mean()),
        difference=float(differences[where].mean()),
        difference_interval=interval(bounds, level, users.method),
        left_out=int(np.count_nonzero(is_measured)) - requests,
    )
