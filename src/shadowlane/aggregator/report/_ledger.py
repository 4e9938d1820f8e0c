"""Where the requests went: the hooks' and workers' counts against what the lake holds."""

from __future__ import annotations

from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import Ledger, WorkerCounts
from shadowlane.lake import LEDGER, OpenLake

# A process counts since its start, so its latest entry says all; a restart begins a new count.
_LOAD = """
CREATE TEMP TABLE ledger_entry AS
SELECT *, row_number() OVER (
    PARTITION BY role, producer_id, model_version, started_at
    ORDER BY recorded_at DESC, landed_partition DESC, landed_offset DESC
  ) = 1 AS is_latest
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE role = 'hook' OR (shadow = $shadow AND run = $run)
"""
_HOOKS = "CREATE TEMP VIEW hook AS SELECT * FROM ledger_entry WHERE is_latest AND role = 'hook'"
_WORKERS = "CREATE TEMP VIEW worker AS SELECT * FROM ledger_entry WHERE is_latest AND role = 'worker'"

_SUMS = """
SELECT count(*), count(*) FILTER (NOT coalesce(final, false)),
  coalesce(sum(observed), 0)::BIGINT, coalesce(sum(primary_failed), 0)::BIGINT,
  coalesce(sum(sampled_out), 0)::BIGINT, coalesce(sum(published), 0)::BIGINT,
  coalesce(sum(delivered), 0)::BIGINT, coalesce(sum(failed), 0)::BIGINT
FROM hook
"""

_COUNTED = """
SELECT count(DISTINCT producer_id), count(*) FILTER (NOT coalesce(final, false)),
  coalesce(sum(compared), 0)::BIGINT, coalesce(sum(lost), 0)::BIGINT, coalesce(sum(restarts), 0)::BIGINT
FROM worker
"""

_SUMMED_MAP = """
SELECT entry.key, sum(entry.value)::BIGINT
FROM (SELECT unnest(map_entries({column})) AS entry FROM {counts})
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


def load_counts(lake: OpenLake, scope: Scope) -> None:
    """Hold the latest counts: `hook`, of the model, and `worker`, of the scope's shadow and run."""
    lake.load(LEDGER.name, _LOAD, {"shadow": scope.shadow, "run": scope.run})
    lake.rows(_HOOKS)
    lake.rows(_WORKERS)


def ledger(lake: OpenLake, scope: Scope) -> Ledger | None:
    """The hooks' counts; None where no hook has sent any."""
    [(hooks, still_counting, observed, primary_failed, sampled_out, published, delivered, failed)] = (
        lake.rows(_SUMS)
    )
    if not hooks:
        return None
    is_comparable = scope.is_whole and scope.run in _OF_EVERY_REQUEST
    remainder = delivered - places(lake) if is_comparable else None
    return Ledger(
        hooks=hooks,
        still_counting=still_counting,
        observed=observed,
        primary_failed=primary_failed,
        sampled_out=sampled_out,
        published=published,
        dropped=_summed(lake, "dropped", "hook"),
        delivered=delivered,
        failed=failed,
        unexplained=None if remainder is None else max(0, remainder),
        uncounted=None if remainder is None else max(0, -remainder),
    )


def worker_counts(lake: OpenLake) -> WorkerCounts | None:
    """What the workers counted; None where no worker has sent any."""
    [(workers, still_counting, compared, lost, restarts)] = lake.rows(_COUNTED)
    if not workers:
        return None
    return WorkerCounts(
        workers=workers,
        still_counting=still_counting,
        compared=compared,
        errors=_summed(lake, "errors", "worker"),
        lost=lost,
        restarts=restarts,
        missing_features=_summed(lake, "missing_features", "worker"),
        unexpected_features=_summed(lake, "unexpected_features", "worker"),
    )


def places(lake: OpenLake) -> int:
    """How many of the source topic's messages the lake holds an answer or an error for."""
    [(found,)] = lake.rows(_PLACES)
    return int(found)


def _summed(lake: OpenLake, column: str, counts: str) -> dict[str, int]:
    return dict(lake.rows(_SUMMED_MAP.format(column=column, counts=counts)))
