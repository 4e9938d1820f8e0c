"""What the report reads from the lake: three tables of the engine, each request once.

`compared` is a request's first comparison, `errored` a request's last error, of requests without any
comparison: one that failed and was then compared (redriven, say) was compared. A message that could
not be decoded is in `undecodable` and no request: no model was asked, and on a topic that several
models share it need not have been meant for this one. A row is first known
by where its request lay in Kafka *and* its request_id, so that a topic made anew, whose offsets begin
at 0 again, hides nothing; a request_id at several places is one request that a client sent again.
The agreement of a pair that a rule ignores is null, and only that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from shadowlane.aggregator.report._scope import Scope
from shadowlane.comparators import IGNORED
from shadowlane.lake import COMPARISONS, ERRORS, OpenLake

_COMPARED = """
CREATE TEMP TABLE compared AS
SELECT
  coalesce(nullif(request_id, ''), concat_ws('/', source_topic, source_partition, source_offset))
    AS request,
  event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset,
  coalesce(model_version, '') AS model_version, coalesce(shadow_version, '') AS shadow_version,
  CASE WHEN NOT starts_with(coalesce(comparator, ''), $ignored) THEN coalesce(agreement, false) END
    AS agreement,
  difference, comparator,
  primary_score, primary_label, shadow_score, shadow_label,
  CASE WHEN agreement THEN NULL ELSE primary_vector[:8] END AS primary_vector,
  CASE WHEN agreement THEN NULL ELSE shadow_vector[:8] END AS shadow_vector,
  CASE WHEN agreement THEN NULL ELSE primary_ranking[:8] END AS primary_ranking,
  CASE WHEN agreement THEN NULL ELSE shadow_ranking[:8] END AS shadow_ranking,
  primary_latency_ms, shadow_latency_ms, coalesce(latency_basis, 'unknown') AS latency_basis,
  [map_extract(segments, name)[1] FOR name IN CAST($by AS VARCHAR[])] AS cohort
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE shadow = $shadow AND run = $run
  AND ($start::TIMESTAMPTZ IS NULL OR event_time >= $start::TIMESTAMPTZ)
  AND ($end::TIMESTAMPTZ IS NULL OR event_time < $end::TIMESTAMPTZ)
"""

# Few requests repeat, so only those that may (their ids' hashes meet) are put in order.
_REPEATED = """
CREATE TEMP TABLE repeated AS
SELECT * FROM (
  SELECT rowid AS id, source_topic, source_partition, source_offset,
    row_number() OVER (
      PARTITION BY request
      ORDER BY event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset
    ) > 1 AS is_later,
    row_number() OVER (
      PARTITION BY request, source_topic, source_partition, source_offset
      ORDER BY landed_partition, landed_offset
    ) > 1 AS is_same_place
  FROM compared
  WHERE hash(request) IN (SELECT hash(request) FROM compared GROUP BY ALL HAVING count(*) > 1)
)
WHERE is_later
"""

_FIRST = "DELETE FROM compared WHERE rowid IN (SELECT id FROM repeated)"

_ERROR = """
CREATE TEMP TABLE error AS
SELECT *, row_number() OVER (
    PARTITION BY request
    ORDER BY failed_at DESC, landed_partition DESC, landed_offset DESC, source_partition, source_offset
  ) AS seat
FROM (
  SELECT
    coalesce(nullif(request_id, ''), concat_ws('/', source_topic, source_partition, source_offset))
      AS request,
    nullif(request_id, '') IS NULL AS is_unread,
    nullif(request_id, '') IS NULL AND coalesce(stage, '') = 'decode' AS is_undecodable,
    coalesce(event_time, failed_at) AS event_time, failed_at,
    source_topic, source_partition, source_offset, landed_partition, landed_offset,
    coalesce(stage, 'unknown') AS stage, coalesce(error_type, 'unknown') AS error_type,
    coalesce(message, '') AS message,
    [map_extract(segments, name)[1] FOR name IN CAST($by AS VARCHAR[])] AS cohort
  FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
  WHERE shadow = $shadow AND run = $run
    AND ($start::TIMESTAMPTZ IS NULL OR coalesce(event_time, failed_at) >= $start::TIMESTAMPTZ)
    AND ($end::TIMESTAMPTZ IS NULL OR coalesce(event_time, failed_at) < $end::TIMESTAMPTZ)
)
"""

_PLACES = """
CREATE TEMP VIEW place AS
SELECT source_topic, source_partition, source_offset FROM compared
UNION ALL SELECT source_topic, source_partition, source_offset FROM repeated
"""

# A message that could not be read has no request_id: its place tells whether it was compared later.
_UNANSWERED = """
CREATE TEMP TABLE unanswered AS
SELECT * FROM error
WHERE seat = 1
  AND NOT EXISTS (FROM compared WHERE compared.request = error.request)
  AND NOT (is_unread AND EXISTS (
    FROM place
    WHERE place.source_topic = error.source_topic
      AND place.source_partition = error.source_partition
      AND place.source_offset = error.source_offset))
"""

_ERRORED = "CREATE TEMP VIEW errored AS SELECT * FROM unanswered WHERE NOT is_undecodable"
_UNDECODABLE = "CREATE TEMP VIEW undecodable AS SELECT * FROM unanswered WHERE is_undecodable"


def load(lake: OpenLake, scope: Scope, by: Sequence[str]) -> None:
    """Read the scope's comparisons and errors, with the values of the segments in `by`."""
    values = {"shadow": scope.shadow, "run": scope.run, "start": scope.start, "end": scope.end, "by": [*by]}
    lake.load(COMPARISONS.name, _COMPARED, {**values, "ignored": IGNORED})
    lake.load(ERRORS.name, _ERROR, values)
    for statement in (_REPEATED, _FIRST, _PLACES, _UNANSWERED, _ERRORED, _UNDECODABLE):
        lake.rows(statement)
