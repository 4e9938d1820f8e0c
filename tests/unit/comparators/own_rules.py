"""Rules of a user's own, named in tests as python:own_rules:…."""

from __future__ import annotations

import numpy as np

from shadowlane.schemas import Prediction


def even(primary: Prediction, shadow: Prediction) -> tuple[bool, float]:
    """Whether the labels' lengths are both even or both odd."""
    apart = len(primary.label or "") - len(shadow.label or "")
    return apart % 2 == 0, float(apart)


def with_numpy(primary: Prediction, shadow: Prediction) -> tuple[np.bool_, np.float64]:
    """What a rule that computes with NumPy gives."""
    return np.bool_(primary == shadow), np.float64(np.inf)


def undecided(primary: Prediction, shadow: Prediction) -> str:
    """No answer at all."""
    return f"{primary.label} or {shadow.label}"


NOT_A_FUNCTION = 3
