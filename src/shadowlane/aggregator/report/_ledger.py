"""Where the requests went: the hooks' counts against what the lake holds."""

from __future__ import annotations

from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import Ledger
from shadowlane.lake import LEDGER, OpenLake

# A process counts since its start, so its latest entry says all; a restart begins a new count.
_LOAD = """
CREATE TEMP TABLE hook AS
SELECT * FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE role = 'hook'
QUALIFY row_number() OVER (
  PARTITION BY producer_id, model_version, started_at
  ORDER BY recorded_at DESC, landed_partition DESC, landed_offset DESC
) = 1
"""

_SUMS = """
SELECT count(*), count(*) FILTER (NOT coalesce(final, false)),
  coalesce(sum(observed), 0)::BIGINT, coalesce(sum(primary_failed), 0)::BIGINT,
  coalesce(sum(sampled_out), 0)::BIGINT, coalesce(sum(published), 0)::BIGINT,
  coalesce(sum(delivered), 0)::BIGINT, coalesce(sum(failed), 0)::BIGINT
FROM hook
"""

_DROPPED = """
SELECT entry.key, sum(entry.value)::BIGINT
FROM (SELECT unnest(map_entries(dropped)) AS entry FROM hook)
GROUP BY entry.key ORDER BY sum(entry.value) DESC, entry.key
"""

# Runs that replay all that is published: by workers, and in the service itself. A named replay is a window's.
_OF_EVERY_REQUEST = ("live", "in-process")

# Without its repeats each comparison has a place of its own; an error has one where nothing was compared.
_PLACES = """
SELECT (SELECT count(*) FROM comparison) - (SELECT count(*) FROM seen_again) + (
  SELECT count(DISTINCT (source_topic, source_partition, source_offset)) FROM error
  WHERE NOT is_undecodable
    AND (NOT is_unread OR request IN (SELECT request FROM unanswered))
    AND NOT EXISTS (
      FROM seen WHERE seen.source_topic = error.source_topic
        AND seen.source_partition = error.source_partition AND seen.source_offset = error.source_offset)
)
"""


def ledger(lake: OpenLake, scope: Scope) -> Ledger | None:
    """The hooks' counts; None where no hook has sent any."""
    lake.load(LEDGER.name, _LOAD, {})
    [(hooks, still_counting, observed, primary_failed, sampled_out, published, delivered, failed)] = (
        lake.rows(_SUMS)
    )
    if not hooks:
        return None
    is_comparable = scope.is_whole and scope.run in _OF_EVERY_REQUEST
    remainder = delivered - _places(lake) if is_comparable else None
    return Ledger(
        hooks=hooks,
        still_counting=still_counting,
        observed=observed,
        primary_failed=primary_failed,
        sampled_out=sampled_out,
        published=published,
        dropped=dict(lake.rows(_DROPPED)),
        delivered=delivered,
        failed=failed,
        unexplained=None if remainder is None else max(0, remainder),
        uncounted=None if remainder is None else max(0, -remainder),
    )


def _places(lake: OpenLake) -> int:
    """How many of the source topic's messages the lake holds an answer or an error for."""
    [(places,)] = lake.rows(_PLACES)
    return int(places)
