"""Which model's scores are the better probabilities, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._rates import interval
from shadowlane.aggregator.report._truth_figures import Users
from shadowlane.aggregator.report._truth_judged import Flags, Floats, Judged
from shadowlane.aggregator.report._truth_kinds import Rule, Side
from shadowlane.aggregator.report.figures import Calibration, CalibrationBin, Interval
from shadowlane.aggregator.statistics import brier, calibration

_BINS = 15
_DRAWS = 2000
# So many users at once are added up by bin: a matrix of some tens of megabytes.
_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Both models', over the same requests where both have one; differences are shadow less primary."""

    primary: Calibration | None = None
    shadow: Calibration | None = None
    brier_difference: float | None = None
    brier_difference_interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None


def calibrations(judged: Judged, users: Users, rule: Rule, level: float) -> Calibrations:
    """How good both models' scores are as probabilities, where they can be any."""
    is_latest = judged.is_latest == 1
    of_primary = is_latest & np.isfinite(judged.primary_probability) & np.isfinite(judged.primary_came)
    of_shadow = is_latest & np.isfinite(judged.shadow_probability) & np.isfinite(judged.shadow_came)
    both = of_primary & of_shadow
    if not both.any():
        return Calibrations(
            primary=_calibration(judged.primary_probability, judged.primary_came, of_primary, rule.primary),
            shadow=_calibration(judged.shadow_probability, judged.shadow_came, of_shadow, rule.shadow),
        )
    primary = _calibration(judged.primary_probability, judged.primary_came, both, rule.primary)
    shadow = _calibration(judged.shadow_probability, judged.shadow_came, both, rule.shadow)
    if primary is None or shadow is None:
        return Calibrations()
    squares = (judged.shadow_probability - judged.shadow_came) ** 2
    squares -= (judged.primary_probability - judged.primary_came) ** 2
    difference = shadow.expected_error - primary.expected_error
    return Calibrations(
        primary=primary,
        shadow=shadow,
        brier_difference=shadow.brier - primary.brier,
        brier_difference_interval=interval(users.mean_interval(squares, both, level), level, users.method),
        difference=difference,
        difference_interval=interval(
            _bounds(judged, users, both, difference, level), level, "drawn anew, bin by bin"
        ),
    )


def _calibration(probability: Floats, came: Floats, where: Flags, side: Side) -> Calibration | None:
    score = brier(probability[where], came[where])
    error, bins = calibration(probability[where], came[where], _BINS)
    if score is None or error is None:
        return None
    shown = tuple(
        CalibrationBin(requests=requests, mean_score=promised, outcome_rate=rate)
        for requests, promised, rate in bins
    )
    of = "label" if side.by_label and not side.is_of_one else "outcome"
    return Calibration(brier=score, expected_error=error, bins=shown, of=of)


def _bounds(
    judged: Judged, users: Users, where: Flags, difference: float, level: float
) -> tuple[float, float] | None:
    """Where the difference of the two expected errors lies.

    An expected error is the sum over its bins of how far promises and outcomes are apart. What the requests
    (or users) add to each bin of both models has a covariance; the sums are drawn anew from it. The draws'
    mean lies off by the bias of the error, and is put back.
    """
    residuals = _residuals(judged, where)
    sums, covariance, units = _spread(users, where, residuals)
    if units < 2:  # noqa: PLR2004 - one shows nothing of the others
        return None
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    draws = np.random.default_rng(0).standard_normal((_DRAWS, 2 * _BINS)) @ root + sums
    error = np.abs(draws).reshape(_DRAWS, 2, _BINS).sum(axis=2) / np.count_nonzero(where)
    apart = error[:, 1] - error[:, 0]
    low, high = np.quantile(apart - apart.mean(), [(1 - level) / 2, (1 + level) / 2])
    return difference + float(low), difference + float(high)


@dataclass(frozen=True, slots=True)
class _Residuals:
    """Of each request, both models' bins and what its outcome leaves of the promise."""

    bins: tuple[NDArray[np.int64], NDArray[np.int64]]
    left: tuple[Floats, Floats]


def _residuals(judged: Judged, where: Flags) -> _Residuals:
    sides = (
        (judged.primary_probability[where], judged.primary_came[where]),
        (judged.shadow_probability[where], judged.shadow_came[where]),
    )
    first, second = (_bins(probability) for probability, _ in sides)
    left = (sides[0][0] - sides[0][1], sides[1][0] - sides[1][1])
    return _Residuals((first, second + _BINS), left)


def _bins(probability: Floats) -> NDArray[np.int64]:
    """The bins of equal mass that `calibration` counts in."""
    inner = np.quantile(probability, np.linspace(0, 1, _BINS + 1))[1:-1]
    return np.searchsorted(inner, probability)


def _spread(users: Users, where: Flags, residuals: _Residuals) -> tuple[Floats, Floats, int]:
    """The sum of each bin, their covariance, and how many units it rests on."""
    unit = _units(users, where)
    units, width = int(unit.max(initial=-1)) + 1, 2 * _BINS
    sums, squares = np.zeros(width), np.zeros((width, width))
    for first in range(0, units, _AT_ONCE):
        size = min(_AT_ONCE, units - first)
        rows = slice(None) if size == units else (unit >= first) & (unit < first + size)
        places = (unit[rows] - first) * width
        added = [
            np.bincount(places + bins[rows], left[rows], size * width)
            for bins, left in zip(residuals.bins, residuals.left, strict=True)
        ]
        matrix = np.add(*added).reshape(size, width)
        sums += matrix.sum(axis=0)
        squares += matrix.T @ matrix
    covariance = (squares - np.outer(sums, sums) / units) * units / max(units - 1, 1)
    return sums, covariance, units


def _units(users: Users, where: Flags) -> NDArray[np.int64]:
    """Of each request looked at, which piece of evidence it belongs to: numbers from 0 without a gap."""
    if users.of is None:
        return np.arange(np.count_nonzero(where))
    of = users.of[where]
    return np.asarray((np.cumsum(np.bincount(of) > 0) - 1)[of])
