"""When two predictions agree. One rule, applied to one pair here and to columns in `columns`.

A value that is not a number (NaN) agrees with nothing, itself included: no answer is no evidence.
Equal infinities agree. Predictions of different kinds (a label against a score) never agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction

Kind = Literal["auto", "label", "score", "vector", "ranking"]
_TOLERANT = ("auto", "score", "vector")
DEFAULT_TOLERANCE = 0.05


class Outcome(NamedTuple):
    """Whether two predictions agree, how far apart they are, and the rule that said so."""

    agreement: bool
    difference: float | None
    comparator: str


@dataclass(frozen=True, slots=True)
class Comparator:
    """A rule: which part of the predictions counts, and how far numbers may lie apart.

    `auto` takes what both models gave: labels before scores, scores before vectors, vectors before
    rankings. The difference is shadow minus primary for scores (a label's confidence too), and the
    largest distance of two components for vectors.
    """

    kind: Kind = "auto"
    tolerance: float = DEFAULT_TOLERANCE

    @classmethod
    def parse(cls, text: str) -> Comparator:
        """Read `auto`, `label`, `ranking`, `score:0.01`, `vector:0.1`.

        Raises:
            SettingsError: no such rule, or its tolerance is none.
        """
        kind, colon, tolerance = text.partition(":")
        if kind not in get_args(Kind):
            raise SettingsError(f"comparator {text!r}: use one of {', '.join(get_args(Kind))}")
        if not colon:
            return cls(cast("Kind", kind))
        if kind not in _TOLERANT:
            raise SettingsError(f"comparator {text!r}: {kind} is exact and takes no tolerance")
        return cls(cast("Kind", kind), _tolerance(text, tolerance))

    def name_for(self, part: str) -> str:
        """What the comparison records: the part compared, with the tolerance where there is one."""
        return f"{part}:{self.tolerance:g}" if part in _TOLERANT else part

    def part_of(self, primary: Prediction, shadow: Prediction) -> str | None:
        """Which part of these two predictions this rule compares; None: they have none in common."""
        for part in ("label", "score", "vector", "ranking"):
            wanted = self.kind in ("auto", part)
            if wanted and getattr(primary, part) is not None and getattr(shadow, part) is not None:
                return part
        return None

    def compare(self, primary: Prediction, shadow: Prediction) -> Outcome:
        """Compare one pair."""
        part = self.part_of(primary, shadow)
        difference = _difference(primary.score, shadow.score)
        if part is None:
            return Outcome(False, None, self.name_for("mixed" if self.kind == "auto" else self.kind))
        if part == "score":
            return Outcome(self._close(primary.score, shadow.score), difference, self.name_for(part))
        if part == "vector":
            distance = _distance(list(primary.vector or ()), list(shadow.vector or ()))
            near = distance is not None and distance <= self.tolerance
            return Outcome(near, distance, self.name_for(part))
        if part == "label":
            return Outcome(primary.label == shadow.label, difference, part)
        same = list(primary.ranking or ()) == list(shadow.ranking or ())
        return Outcome(same, None, part)

    def _close(self, primary: float | None, shadow: float | None) -> bool:
        if primary is None or shadow is None:
            return False
        return primary == shadow or abs(shadow - primary) <= self.tolerance


def _tolerance(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise SettingsError(f"comparator {text!r}: its tolerance is a number from 0 up")
    return value


def _difference(primary: float | None, shadow: float | None) -> float | None:
    """Shadow minus primary, where that is a finite number."""
    if primary is None or shadow is None:
        return None
    difference = shadow - primary
    return difference if math.isfinite(difference) else None


def _distance(primary: list[float], shadow: list[float]) -> float | None:
    """The largest distance of two components; None where the lengths differ or a value is no number."""
    if len(primary) != len(shadow):
        return None
    distances = [0.0 if a == b else abs(b - a) for a, b in zip(primary, shadow, strict=True)]
    largest = max(distances, default=0.0)
    return largest if all(map(math.isfinite, distances)) else None
