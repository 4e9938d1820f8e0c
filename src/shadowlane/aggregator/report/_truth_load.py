"""Which labels count, and the compared requests that they are of: as tables of the engine.

`said` has every label of the model, also of days outside the window: a label is dated by when it was
observed. (Of a lake that has far more labels than the scope has requests it has those of the scope.) Each
holds from then `until` the next one for its request and name; the one that nothing took the
place of is the latest. `labelled` has the scope's compared requests that any label speaks of, each once:
the comparisons are passed over once, by their ids, and not at all where there are no labels. `version` has
what was said of them, and of `_truth_judged` is which of the two was right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shadowlane.lake import LABELS, LATEST_LAST, WITHDRAWN, OpenLake

#: Of more names of outcomes the most frequent are looked at.
MOST_NAMES = 20

# Labels of years are not held for the report of a day: beyond so many it is seen to whose they are.
_MANY = 2_000_000
_TIMES_COMPARED = 3

# A label that takes back ends the one before it, and is none itself.
_LABEL_ROW = f"""
CREATE TEMP VIEW label_row AS
SELECT request_id, coalesce(nullif(name, ''), 'label') AS name, observed_at, landed_partition, landed_offset,
  label_score, label_label, {WITHDRAWN} AS is_withdrawn,
  hash(label_score, label_label, label_vector, label_ranking) AS value,
  hash(request_id, coalesce(nullif(name, ''), 'label')) AS key
FROM read_parquet(getvariable('{LABELS.name}'), hive_partitioning = false, union_by_name = true)
WHERE nullif(request_id, '') IS NOT NULL
"""  # noqa: S608 - of constants

_SAID = "CREATE TEMP TABLE said AS FROM label_row"
_OF_THE_SCOPE = """ WHERE hash(request_id) IN (
  SELECT hash(request_id) FROM compared UNION ALL SELECT hash(request_id) FROM errored)
"""
_COMPARED = "SELECT count(*) FROM compared"

# Few requests are spoken of twice, so only those are put in order.
_SEVERAL = "CREATE TEMP TABLE several AS SELECT key FROM said GROUP BY key HAVING count(*) > 1"
_IN_ORDER = f"""
CREATE TEMP TABLE in_order AS
SELECT request_id, name, epoch_us(observed_at) AS observed, label_score, label_label, is_withdrawn,
  epoch_us(lead(observed_at) OVER told) AS until, lead(key) OVER told IS NULL AS is_latest,
  value IS DISTINCT FROM lag(value) OVER told AND NOT is_withdrawn AND NOT lag(is_withdrawn) OVER told
    AS is_other,
  lag(value) OVER told <> value AND observed_at IS NOT DISTINCT FROM lag(observed_at) OVER told
    AS is_contradiction
FROM said WHERE key IN (FROM several)
WINDOW told AS (PARTITION BY request_id, name ORDER BY {LATEST_LAST}, value)
"""  # noqa: S608 - of constants

_TOLD = """
CREATE TEMP VIEW told AS
SELECT request_id, name, observed, until, is_latest, is_withdrawn, label_score, label_label FROM in_order
UNION ALL
SELECT request_id, name, epoch_us(observed_at), NULL, true, is_withdrawn, label_score, label_label
FROM said WHERE key NOT IN (FROM several)
"""

# Requests without an entity are each on their own.
_LABELLED = """
CREATE TEMP TABLE labelled AS
SELECT request_id, epoch_us(event_time) AS made, agreement, segments,
  primary_score, primary_label, shadow_score, shadow_label,
  hash(coalesce(nullif(entity_id, ''), request_id)) AS entity
FROM compared WHERE request_id IN (SELECT request_id FROM said)
"""

# Of a label in words the number is what it says: 1 of true, 7 of "7".
_VERSION = """
CREATE TEMP TABLE version AS
SELECT name, place, made, observed - made AS since, until - made AS until, is_latest,
  coalesce(label_label, class) AS class,
  CASE WHEN isfinite(number) THEN number END AS number
FROM (
  SELECT told.*, labelled.rowid AS place, made,
    CASE WHEN label_score = trunc(label_score) THEN CAST(TRY_CAST(label_score AS HUGEINT) AS VARCHAR) END
      AS class,
    coalesce(
      CASE lower(label_label) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE TRY_CAST(label_label AS DOUBLE) END,
      label_score
    ) AS number
  FROM told JOIN labelled USING (request_id)
)
WHERE NOT is_withdrawn
"""

_NAMES = """
SELECT name, count(*), max(epoch_us(observed_at)) FROM label_row GROUP BY name ORDER BY name
"""

_IN_SCOPE = """
CREATE TEMP TABLE spoken_of AS
SELECT request_id, false AS is_errored FROM labelled
UNION ALL SELECT request_id, true FROM errored WHERE request_id IN (SELECT request_id FROM said)
"""

_COUNTS = """
WITH latest AS (
  SELECT is_errored, is_withdrawn FROM told LEFT JOIN spoken_of USING (request_id) WHERE is_latest
), again AS (
  SELECT request_id, name, is_contradiction, is_other FROM in_order
  WHERE request_id IN (SELECT request_id FROM spoken_of)
)
SELECT
  (SELECT count(*) FROM again WHERE is_other AND is_contradiction IS DISTINCT FROM true),
  (SELECT count(*) FROM latest WHERE is_withdrawn AND is_errored IS NOT NULL),
  (SELECT count(DISTINCT (request_id, name)) FROM again WHERE is_contradiction),
  (SELECT count(*) FROM latest WHERE NOT is_withdrawn AND is_errored IS NULL),
  (SELECT count(*) FROM latest WHERE NOT is_withdrawn AND is_errored)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was said twice, otherwise, back, or of requests that are not here."""

    corrected: int
    withdrawn: int
    contradictory: int
    unknown: int | None
    errored: int


@dataclass(frozen=True, slots=True)
class Named:
    """A name of labels, and when its newest was observed, in microseconds since 1970."""

    name: str
    newest: int | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The names that labels have, and whether labels of other requests than the scope's are held, too."""

    names: tuple[Named, ...]
    is_whole: bool


def load_labels(lake: OpenLake) -> Loaded | None:
    """Hold the model's labels and the requests that they are of; None: there are none."""
    if not lake.tables[LABELS.name].files:
        return None
    lake.define(LABELS.name, _LABEL_ROW)
    named = lake.rows(_NAMES)
    if not named:
        return None
    labels = sum(rows for _, rows, _ in named)
    is_whole = labels <= _MANY or labels <= _TIMES_COMPARED * lake.rows(_COMPARED)[0][0]
    lake.rows(_SAID + ("" if is_whole else _OF_THE_SCOPE))
    for statement in (_SEVERAL, _IN_ORDER, _TOLD, _LABELLED, _VERSION, _IN_SCOPE):
        lake.rows(statement)
    return Loaded(tuple(Named(name, newest) for name, _, newest in named), is_whole)


def counts(lake: OpenLake, *, is_whole: bool) -> Counts:
    """What becomes of the labels, once they are loaded."""
    found = Counts(*lake.rows(_COUNTS)[0])
    return found if is_whole else replace(found, unknown=None)
