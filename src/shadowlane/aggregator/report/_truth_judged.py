"""Which of the two was right about each labelled request.

The table `judged` has a row for each label that was ever said of a compared request (`is_latest`: the one
that counts now), with `place` as the row of `labelled`. Where it cannot be said who was right, both columns
are null. Of a request that either model answered, an answer that is none (no score, or NaN) is wrong: a model
that fails to answer what is hard must not look the better for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.lake import OpenLake

# Of two classes "true" is "1".
_PLAIN = """CASE WHEN NOT is_binary THEN {text}
      WHEN lower({text}) = 'true' THEN '1' WHEN lower({text}) = 'false' THEN '0' ELSE {text} END"""

_SIDE = """
    coalesce(
      CASE WHEN {side}_label IS NOT NULL THEN {side}_by_label AND {label} = {class}
        ELSE {side}_by_score AND ({side}_finite >= threshold) = (number = 1) END,
      false
    ) AS {side}_right,
    CASE WHEN {side}_label IS NULL THEN {side}_is_likely AND {side}_by_score
      ELSE {side}_is_sure AND {side}_by_label END AS {side}_is_probability"""

_FIGURES = """
  CASE WHEN is_judged THEN {side}_right END AS {side}_correct,
  CASE WHEN is_judged AND {side}_is_probability THEN {side}_finite END AS {side}_probability,
  CASE WHEN {side}_label IS NULL OR {side}_is_of_one THEN number ELSE {side}_right::DOUBLE END AS {side}_came,
  CASE WHEN is_measured THEN abs({side}_finite - number) END AS {side}_error"""

_JUDGED = """
CREATE TEMP TABLE judged AS
SELECT name, place, made, since, until, is_latest, agreement, entity, is_measured,
  {figures}
FROM (
  SELECT *, kind = 'number' AND number IS NOT NULL AS is_measured,
    kind IN ('class', 'binary') AND is_answered
      AND CASE WHEN is_binary THEN number IS NOT NULL ELSE class IS NOT NULL END AS is_judged,
    {sides}
  FROM (
    SELECT rule.*, version.* EXCLUDE (name), agreement, entity, primary_label, shadow_label,
      CASE WHEN isfinite(primary_score) THEN primary_score END AS primary_finite,
      CASE WHEN isfinite(shadow_score) THEN shadow_score END AS shadow_finite,
      primary_label IS NOT NULL OR primary_score IS NOT NULL
        OR shadow_label IS NOT NULL OR shadow_score IS NOT NULL AS is_answered
    FROM version JOIN rule USING (name) JOIN labelled ON labelled.rowid = version.place
  )
)
"""

_COLUMNS = """
SELECT is_latest::TINYINT AS is_latest, coalesce(agreement::TINYINT, -1) AS agreement,
  coalesce(primary_correct::TINYINT, -1) AS primary_correct,
  coalesce(shadow_correct::TINYINT, -1) AS shadow_correct,
  primary_probability, primary_came::FLOAT AS primary_came, shadow_probability,
  shadow_came::FLOAT AS shadow_came, primary_error, shadow_error,
  is_measured::TINYINT AS is_measured, entity, ({known})::UTINYINT AS known
FROM judged WHERE name = $name
"""
# The label that counted so long after the request, of a request old enough.
_KNOWN = """
    CASE WHEN since <= {after} AND coalesce(until > {after}, true) AND made <= $newest - {after} THEN {bit}
      ELSE 0 END"""

_CHIEF = """
SELECT name FROM judged WHERE is_latest AND primary_correct IS NOT NULL
GROUP BY name ORDER BY name <> 'label', count(*) DESC, name LIMIT 1
"""

#: Days after the request by which a label may be known.
HORIZONS = (1, 3, 7, 30)
HOUR, DAY = 3_600_000_000, 86_400_000_000  # microseconds

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """The labels of one name, a place in each array for a label; what is not known of it is NaN.

    Attributes:
        is_latest: It is the one that counts now.
        agreement: 1, 0, or -1 where a rule ignores the pair.
        primary_correct: 1, 0, or -1 where it cannot be said.
        primary_probability: What the score promised.
        primary_came: 1 where that came true.
        primary_error: How far the score lies from a number.
        is_measured: There is a number to be far from.
        entity: Whose request it is.
        known: A bit for each horizon: it is the label that counted then, and the request is old enough.
    """

    is_latest: NDArray[np.int8]
    agreement: NDArray[np.int8]
    primary_correct: NDArray[np.int8]
    shadow_correct: NDArray[np.int8]
    primary_probability: Floats
    primary_came: Floats
    shadow_probability: Floats
    shadow_came: Floats
    primary_error: Floats
    shadow_error: Floats
    is_measured: NDArray[np.int8]
    entity: NDArray[np.uint64]
    known: NDArray[np.uint8]

    def known_within(self, horizon: int) -> Flags:
        """The labels that counted at the horizon of this place."""
        return np.asarray(self.known & (1 << horizon) > 0)


def judge(lake: OpenLake) -> None:
    """Hold who was right, by the rules that were settled."""
    sides = [
        _SIDE.format(
            side=side, label=_PLAIN.format(text=f"{side}_label"), **{"class": _PLAIN.format(text="class")}
        )
        for side in ("primary", "shadow")
    ]
    figures = [_FIGURES.format(side=side) for side in ("primary", "shadow")]
    lake.rows(_JUDGED.format(sides=",".join(sides), figures=",".join(figures)))


def judged(lake: OpenLake, name: str, newest: int | None) -> Judged:
    """The labels of one name, the newest of which was observed then."""
    known = " +".join(_KNOWN.format(after=days * DAY, bit=1 << place) for place, days in enumerate(HORIZONS))
    return Judged(**lake.arrays(_COLUMNS.format(known=known), {"name": name, "newest": newest}))


def chief(lake: OpenLake) -> str | None:
    """The outcome that segments are judged by: `label`, or else the one with the most that can be judged."""
    return next((name for (name,) in lake.rows(_CHIEF)), None)
