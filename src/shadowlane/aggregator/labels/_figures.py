"""What the rows of a file say twice or correct, and whose requests the lake does not know."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import duckdb

from shadowlane.errors import LakeError
from shadowlane.lake import COMPARISONS, ERRORS, REQUESTS, Everything, Lake, OpenLake, TableSpec, read_lake

log = logging.getLogger(__name__)

_TABLES: tuple[TableSpec, ...] = (COMPARISONS, ERRORS, REQUESTS)

#: Of `row(key, value)` in an order: what repeats the row before it, and what says something else.
REPEATS = """
SELECT {groups} count(*) FILTER (is_later AND is_same) AS duplicates,
  count(*) FILTER (is_later AND NOT is_same) AS corrections
FROM (
  SELECT {groups} row_number() OVER said > 1 AS is_later,
    value IS NOT DISTINCT FROM lag(value) OVER said AS is_same
  FROM row WHERE key IN (SELECT key FROM row GROUP BY key HAVING count(*) > 1)
  WINDOW said AS (PARTITION BY key ORDER BY {order})
)
"""

_KEY = "hash(model, request_id, name)"

# Few say something twice, so only those rows are looked at closer.
_SEVERAL = f"""
CREATE TEMP TABLE several AS
SELECT {_KEY} AS key FROM read_parquet($spool) GROUP BY key HAVING count(*) > 1
"""  # noqa: S608 - of constants

_ROW = f"""
CREATE TEMP TABLE row AS
SELECT {_KEY} AS key, observed_at, line,
  hash(CASE WHEN name NOT IN (SELECT unnest($scores)) THEN text END,
    CASE WHEN name IN (SELECT unnest($scores)) THEN number END, vector, ranking) AS value
FROM read_parquet($spool) WHERE {_KEY} IN (SELECT key FROM several)
"""  # noqa: S608 - of constants

_KNOWN = """
{into} SELECT DISTINCT hash(request_id) AS id
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE request_id IS NOT NULL
"""

_UNKNOWN = """
SELECT count(DISTINCT hash(request_id)) FROM read_parquet($spool)
WHERE model = $model AND hash(request_id) NOT IN (SELECT id FROM known)
"""


def repeats(spool: Path, scores: Sequence[str], folder: Path) -> tuple[int, int]:
    """How many rows of the file repeat another one, and how many correct one."""
    with _engine(folder) as engine:
        [(several,)] = engine.execute(_SEVERAL, {"spool": str(spool)}).fetchall()
        if not several:
            return 0, 0
        # Of an empty list the engine cannot tell what it would hold; no name is empty.
        engine.execute(_ROW, {"spool": str(spool), "scores": [*scores] or [""]})
        [(duplicates, corrections)] = engine.execute(
            REPEATS.format(groups="", order="observed_at, line")
        ).fetchall()
    return duplicates, corrections


def models_of(spool: Path, folder: Path) -> list[str]:
    """Which models the rows are about."""
    statement = "SELECT DISTINCT model FROM read_parquet($spool) ORDER BY model"
    with _engine(folder) as engine:
        return [model for (model,) in engine.execute(statement, {"spool": str(spool)}).fetchall()]


def unknown_ids(lake: Lake, spool: Path, models: Sequence[str]) -> int | None:
    """How many requests the lake does not know; None where it knows none of their models, or cannot be read.

    Labels may come before their requests have landed, so this stops nobody.
    """
    try:
        counts = [
            read_lake(lake, Everything(model), _TABLES, partial(_unknown, model, spool)) for model in models
        ]
    except LakeError as error:
        log.warning("whether the lake knows these requests was not counted: %s", error)
        return None
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _unknown(model: str, spool: Path, tables: OpenLake) -> int | None:
    if not any(tables.tables[spec.name].files for spec in _TABLES):
        return None
    for number, spec in enumerate(_TABLES):
        into = "INSERT INTO known" if number else "CREATE TEMP TABLE known AS"
        tables.load(spec.name, _KNOWN.format(into=into), {})
    [(count,)] = tables.rows(_UNKNOWN, {"spool": str(spool), "model": model})
    return int(count)


def _engine(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"memory_limit": "256MB", "temp_directory": str(folder)})
