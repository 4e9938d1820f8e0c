"""How an outcome is held against what the models answered: settled for each name from all of its labels.

A predicted label is compared with a label as text; a score with 0 or 1 by a threshold, with any other
number by its distance. `docs/ground-truth.md` has the rules in words.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Literal

from shadowlane.aggregator.report._truth_load import MOST_NAMES, Named
from shadowlane.lake import OpenLake

Kind = Literal["class", "binary", "number", "other"]

#: From which score on an answer is 1, where scores lie between 0 and 1.
THRESHOLD = 0.5
# How far a probability that was computed in 32 bits may stray over 1.
_ROUNDING = 1e-6

# A score beside a label is the confidence in it, and none of the outcome.
_SEEN = """
SELECT name, count(*), count(number), count(*) FILTER (number IN (0, 1)),
  {sides}
FROM version JOIN labelled ON labelled.rowid = version.place
WHERE is_latest GROUP BY name
"""
_SIDE = """
  count({side}_label),
  count(*) FILTER (TRY_CAST({side}_label AS DOUBLE) IS NOT NULL OR lower({side}_label) IN ('true', 'false')),
  min({side}_score) FILTER (isfinite({side}_score) AND {side}_label IS NULL),
  max({side}_score) FILTER (isfinite({side}_score) AND {side}_label IS NULL),
  avg(CASE WHEN {side}_score < 0.5 THEN 1 ELSE 0 END)
    FILTER (isfinite({side}_score) AND lower({side}_label) IN ('0', 'false')),
  min({side}_score) FILTER (isfinite({side}_score) AND {side}_label IS NOT NULL),
  max({side}_score) FILTER (isfinite({side}_score) AND {side}_label IS NOT NULL)"""

_RULE = """
CREATE OR REPLACE TEMP TABLE rule (
  name VARCHAR, kind VARCHAR, is_binary BOOLEAN, threshold DOUBLE,
  primary_by_label BOOLEAN, primary_by_score BOOLEAN,
  primary_is_of_one BOOLEAN, primary_is_sure BOOLEAN, primary_is_likely BOOLEAN,
  shadow_by_label BOOLEAN, shadow_by_score BOOLEAN,
  shadow_is_of_one BOOLEAN, shadow_is_sure BOOLEAN, shadow_is_likely BOOLEAN
)
"""
_ADD_RULE = "INSERT INTO rule VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"


@dataclass(frozen=True, slots=True)
class Side:
    """How one model's answers are read.

    Attributes:
        by_label: Its labels are compared with the outcome's.
        by_score: Its scores, where it gives no label, are cut at the threshold.
        is_of_one: The score beside a label is the probability of 1, not of that label.
        is_sure: The scores beside its labels can be probabilities.
        is_likely: Those without a label can be.
        has_scores: It has scores without a label.
    """

    by_label: bool
    by_score: bool
    is_of_one: bool
    is_sure: bool
    is_likely: bool
    has_scores: bool

    @property
    def is_judged(self) -> bool:
        """Whether it can be said to be right."""
        return self.by_label or self.by_score

    @property
    def is_measured(self) -> bool:
        """Whether it can only be said how far off it is."""
        return self.has_scores and not self.is_judged


@dataclass(frozen=True, slots=True)
class Rule:
    """How the labels of one name are compared with both models' answers."""

    name: str
    newest: int | None
    kind: Kind
    is_binary: bool
    threshold: float | None
    primary: Side
    shadow: Side


@dataclass(frozen=True, slots=True)
class _Answers:
    """One model's answers to the labelled requests; a score stands alone where there is no label."""

    labels: int
    numeric_labels: int
    least_alone: float | None
    greatest_alone: float | None
    unsure_zeros: float | None
    least_beside: float | None
    greatest_beside: float | None

    def side(self, *, is_numeric: bool, is_binary: bool, threshold: float | None) -> Side:
        is_likely = _is_share(self.least_alone, self.greatest_alone)
        is_cut = is_likely or (threshold is not None and self.least_alone is not None)
        return Side(
            by_label=bool(self.numeric_labels if is_numeric else self.labels),
            by_score=is_binary and is_cut,
            # Of two classes the likelier one has at least half: scores of 0 below it are not of the label.
            is_of_one=is_binary and self.unsure_zeros is not None and self.unsure_zeros > 0.5,  # noqa: PLR2004 - most
            is_sure=_is_share(self.least_beside, self.greatest_beside),
            is_likely=is_likely,
            has_scores=self.least_alone is not None,
        )


def settle(lake: OpenLake, names: tuple[Named, ...], threshold: float | None) -> tuple[tuple[Rule, ...], int]:
    """How the labels of each name are compared, the most frequent first; and how many more names there are.

    The table `rule` has the same.
    """
    sides = ",".join(_SIDE.format(side=side) for side in ("primary", "shadow"))
    seen = {name: row for name, *row in lake.rows(_SEEN.format(sides=sides))}
    of_scope = sorted((each for each in names if each.name in seen), key=lambda each: -seen[each.name][0])
    rules = tuple(_rule(each, seen[each.name], threshold) for each in of_scope[:MOST_NAMES])
    lake.rows(_RULE)
    for rule in rules:
        # All that a side is but its last, which the engine need not know.
        sides_of = (*astuple(rule.primary)[:-1], *astuple(rule.shadow)[:-1])
        row = (rule.name, rule.kind, rule.is_binary, rule.threshold, *sides_of)
        lake.rows(_ADD_RULE, {str(place): value for place, value in enumerate(row, 1)})
    return rules, len(of_scope) - len(rules)


def _rule(named: Named, seen: list[Any], threshold: float | None) -> Rule:
    labels, numbers, binary, *answers = seen
    is_numeric = numbers * 2 > labels
    is_binary = is_numeric and binary == numbers
    half = len(answers) // 2
    primary, shadow = (
        _Answers(*row).side(is_numeric=is_numeric, is_binary=is_binary, threshold=threshold)
        for row in (answers[:half], answers[half:])
    )
    kind: Kind = "other"
    if primary.by_label and shadow.by_label:
        kind = "class"
    elif primary.is_judged and shadow.is_judged:
        kind = "binary"
    elif is_numeric and primary.is_measured and shadow.is_measured:
        kind = "number"
    cut = (THRESHOLD if threshold is None else threshold) if primary.by_score or shadow.by_score else None
    return Rule(named.name, named.newest, kind, is_binary, cut, primary, shadow)


def _is_share(least: float | None, greatest: float | None) -> bool:
    return least is not None and greatest is not None and least >= -_ROUNDING and greatest <= 1 + _ROUNDING
