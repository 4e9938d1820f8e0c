"""The rules, one for each part of a prediction. `columns` and `sql` have each of them in their own form.

A value that is not a number (NaN) agrees with nothing, itself included: no answer is no evidence.
Equal infinities agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from shadowlane.comparators._measures import FLOATS, MEASURES
from shadowlane.comparators._own import function_of, judged
from shadowlane.comparators._rankings import cut, overlap, spearman
from shadowlane.comparators._texts import likeness, normal
from shadowlane.schemas import Prediction

Part = Literal["label", "score", "vector", "ranking"]
#: Agreement, and how far apart the two are, where that is a finite number.
Judged = tuple[bool, float | None]
DEFAULT_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class LabelRule:
    """The same label, once both have gone through these steps. The difference is that of the scores."""

    steps: tuple[str, ...] = ()
    part: ClassVar[Part] = "label"

    @property
    def name(self) -> str:
        """How the rule is written."""
        return "label:" + ",".join(self.steps) if self.steps else "label"

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        left, right = primary.label or "", shadow.label or ""
        same = left == right or (bool(self.steps) and normal(left, self.steps) == normal(right, self.steps))
        return same, _difference(primary.score, shadow.score)


@dataclass(frozen=True, slots=True)
class TextRule:
    """Labels that are texts, and so much alike. The difference is what is missing to 1."""

    least: float
    part: ClassVar[Part] = "label"

    @property
    def name(self) -> str:
        """How the rule is written."""
        return f"text:{number(self.least)}"

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        alike = likeness(primary.label or "", shadow.label or "")
        return alike >= self.least, 1.0 - alike


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """|shadow - primary| <= max(absolute, relative * max(|primary|, |shadow|)), as `math.isclose` has it."""

    absolute: float = DEFAULT_TOLERANCE
    relative: float = 0.0
    part: ClassVar[Part] = "score"

    @property
    def name(self) -> str:
        """How the rule is written."""
        if not self.relative:
            return f"score:{number(self.absolute)}"
        absolute = f"abs={number(self.absolute)}," if self.absolute else ""
        return f"score:{absolute}rel={number(self.relative)}"

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        left, right = primary.score, shadow.score
        if left is None or right is None:
            return False, None
        close = math.isclose(left, right, rel_tol=self.relative, abs_tol=self.absolute)
        return close, _difference(left, right)


@dataclass(frozen=True, slots=True)
class VectorRule:
    """Vectors of one length, and no farther apart (`cosine`: no less alike) than this.

    The difference is the distance; for `cosine` what is missing to 1.
    """

    measure: str = "largest"
    bound: float = DEFAULT_TOLERANCE
    part: ClassVar[Part] = "vector"

    @property
    def name(self) -> str:
        """How the rule is written."""
        measure = "" if self.measure == "largest" else f"{self.measure}="
        return f"vector:{measure}{number(self.bound)}"

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        left, right = list(primary.vector or ()), list(shadow.vector or ())
        if len(left) != len(right):
            return False, None
        found = MEASURES[self.measure](FLOATS, left, right)
        if not math.isfinite(found):
            return False, None
        if self.measure == "cosine":
            return found >= self.bound, 1.0 - found
        return found <= self.bound, found


@dataclass(frozen=True, slots=True)
class RankingRule:
    """Rankings, or their first `top` items: the same, or with so much overlap, or so much correlation.

    The difference is what is missing to 1: of both, the larger.
    """

    top: int | None = None
    overlap: float | None = None
    spearman: float | None = None
    part: ClassVar[Part] = "ranking"

    @property
    def name(self) -> str:
        """How the rule is written."""
        given = (("top", self.top), ("overlap", self.overlap), ("spearman", self.spearman))
        options = ",".join(f"{name}={number(value)}" for name, value in given if value is not None)
        return f"ranking:{options}" if options else "ranking"

    @property
    def is_exact(self) -> bool:
        """Whether nothing but the same items in the same order will do."""
        return self.overlap is None and self.spearman is None

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        return self.judge_lists(primary.ranking or (), shadow.ranking or ())

    def judge_lists(self, primary: Sequence[str], shadow: Sequence[str]) -> Judged:
        """Apply the rule to two rankings."""
        if self.is_exact:
            return list(primary[: self.top]) == list(shadow[: self.top]), None
        left, right = cut(primary, self.top), cut(shadow, self.top)
        asked = []
        if self.overlap is not None:
            asked.append((overlap(left, right), self.overlap))
        if self.spearman is not None:
            correlation = spearman(left, right)
            if correlation is None:
                return False, None
            asked.append((correlation, self.spearman))
        return all(found >= least for found, least in asked), max(1.0 - found for found, _ in asked)


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A function of one's own, given both predictions; `part` None: for all pairs."""

    target: str
    part: Part | None = None

    @property
    def name(self) -> str:
        """How the rule is written."""
        return f"{self.part}:python:{self.target}" if self.part else f"python:{self.target}"

    def judge(self, primary: Prediction, shadow: Prediction) -> Judged:
        """Apply the rule to one pair."""
        return judged(self.target, function_of(self.target)(primary, shadow))


Rule = LabelRule | TextRule | ScoreRule | VectorRule | RankingRule | OwnRule
DEFAULT_RULES: tuple[Rule, ...] = (LabelRule(), ScoreRule(), VectorRule(), RankingRule())


def number(value: float) -> str:
    """A number as one writes it, with all its digits."""
    return repr(value).removesuffix(".0")


def _difference(primary: float | None, shadow: float | None) -> float | None:
    """Shadow minus primary, where that is a finite number."""
    if primary is None or shadow is None:
        return None
    difference = shadow - primary
    return difference if math.isfinite(difference) else None
