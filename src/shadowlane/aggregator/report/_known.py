"""What the lake holds besides: told where a scope has no request, for it may be a name mistyped."""

from __future__ import annotations

from shadowlane.aggregator.report._report import KnownRun
from shadowlane.lake import COMPARISONS, ERRORS, OpenLake

_MOST_MODELS = 20
# A hint is not worth minutes: of a lake of very many files some are looked into.
_MOST_FILES = 200

_RUNS = """
SELECT DISTINCT shadow, run FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE shadow IS NOT NULL AND run IS NOT NULL ORDER BY run <> 'live', run, shadow LIMIT 20
"""


def known_runs(lake: OpenLake) -> tuple[KnownRun, ...]:
    """The models of the lake with their shadows and runs, whatever the scope and window."""
    found: dict[str, list[str]] = {}
    for table in (COMPARISONS.name, ERRORS.name):
        for model, files in lake.tables[table].by_model.items():
            found.setdefault(model, []).extend(files[:_MOST_FILES])
    return tuple(
        KnownRun(model=model, shadow=shadow, run=run)
        for model in sorted(found)[:_MOST_MODELS]
        for shadow, run in lake.peek(_RUNS, found[model])
    )
