"""A feature as something to break the figures down by: numbers in quartiles, texts and flags by value.

Comparisons carry their features where the worker was told so. By default only disagreements do, and what
holds for a feature then holds for disagreements: no rate by it would be one. The archive of requests, where
there is one, has the features of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._cohorts import MOST_VALUES, NONE, OTHER
from shadowlane.errors import SettingsError
from shadowlane.lake import REQUESTS, OpenLake
from shadowlane.visible import visible

# So few different numbers are names rather than amounts.
_FEW = 10
# Of the agreements, and of the other requests, the features of so large a share must be known.
_KNOWN = 0.9

_NUMBER = "coalesce(features.numbers[$name], features.integers[$name]::DOUBLE)"
_TEXT = """coalesce(features.strings[$name], features.flags[$name]::VARCHAR,
    features.integers[$name]::VARCHAR, features.numbers[$name]::VARCHAR)"""

#: A value's place among the values that are told apart.
BY_VALUE = f"""coalesce(list_position($values::VARCHAR[], {{value}}) - 1,
    CASE WHEN {{value}} IS NULL THEN {NONE} ELSE {OTHER} END)"""
_BY_QUARTILE = f"""CASE WHEN {_NUMBER} IS NULL THEN {NONE}
    WHEN NOT isfinite({_NUMBER}) THEN len($bounds::DOUBLE[]) + 1
    ELSE len(list_filter($bounds::DOUBLE[], lambda bound: bound < {_NUMBER})) END"""

# Some of the lake's writers make a null struct into one of nulls: this part is null in both.
_OWN = """
CREATE OR REPLACE TEMP VIEW compared_by_feature AS SELECT * FROM compared WHERE features.missing IS NOT NULL
"""
# An archive may have a request twice, as comparisons may be landed again: it is one all the same.
_READ = """read_parquet(getvariable('requests'), hive_partitioning = false, union_by_name = true,
  filename = true, file_row_number = true)"""
_AGAIN = f"""
CREATE OR REPLACE TEMP TABLE archived_again AS
WITH place AS (
  SELECT filename, file_row_number,
    hash(landed_topic, landed_partition, landed_offset, request_id) AS key FROM {_READ}
)
SELECT filename, file_row_number FROM place
WHERE key IN (SELECT key FROM place GROUP BY key HAVING count(*) > 1)
QUALIFY row_number() OVER (PARTITION BY key ORDER BY filename, file_row_number) > 1
"""  # noqa: S608 - of constants
_ARCHIVE = f"""
CREATE OR REPLACE TEMP VIEW archive AS
SELECT * FROM {_READ} ANTI JOIN archived_again USING (filename, file_row_number)
"""  # noqa: S608 - of constants
_ARCHIVED = """
CREATE OR REPLACE TEMP VIEW {source}_by_feature AS
SELECT {columns} archive.features
FROM {source} JOIN archive ON archive.landed_offset = {source}.source_offset
  AND archive.landed_partition = {source}.source_partition AND archive.landed_topic = {source}.source_topic
  AND archive.request_id = {source}.request_id
"""
_COLUMNS = """compared.agreement, compared.primary_score, compared.shadow_score, compared.latency_basis,
  compared.primary_latency_ms, compared.shadow_latency_ms,"""

_COVERED = (
    "SELECT count(*) FILTER (agreement), count(*) FILTER (agreement IS DISTINCT FROM true) FROM {source}"
)
_SEEN = f"""
SELECT count({_NUMBER}), count(coalesce(features.strings[$name], features.flags[$name]::VARCHAR)),
  quantile_disc({_NUMBER}, [0.25, 0.5, 0.75]) FILTER (isfinite({_NUMBER})),
  (SELECT count(*) FROM (SELECT DISTINCT {_NUMBER} FROM compared_by_feature LIMIT {_FEW + 2}))
FROM compared_by_feature
"""  # noqa: S608 - of constants
_TOP = f"""
SELECT {_TEXT} AS value, count(*) OVER () FROM compared_by_feature
WHERE value IS NOT NULL GROUP BY value ORDER BY count(*) DESC, value LIMIT {MOST_VALUES}
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class Split:
    """The requests cut by what they have of something: where they are, and the place of each value."""

    compared: str
    errored: str | None  # None: of errors it is not known
    place: str
    parameters: Mapping[str, Any]
    labels: tuple[str, ...]
    variety: int | None
    note: str = ""


def load_archive(lake: OpenLake) -> None:
    """Hold the archive's rows as `archive`, each message once."""
    lake.define(REQUESTS.name, _AGAIN)
    lake.rows(_ARCHIVE)


def by_feature(lake: OpenLake, name: str) -> Split:
    """Cut by a feature.

    Raises:
        SettingsError: no request has a feature of that name, or too few have their features known.
    """
    errored, note = _with_features(lake)
    [(numbers, texts, quartiles, different)] = lake.rows(_SEEN, {"name": name})
    if not numbers and not texts and lake.rows("SELECT 1 FROM compared LIMIT 1"):
        raise SettingsError(f"no request has a feature {visible(name)!r} that is a number, a text or a flag")
    if texts or different <= _FEW:
        rows = lake.rows(_TOP, {"name": name})
        labels = tuple(value for value, _ in rows)
        place, values = BY_VALUE.format(value=_TEXT), {"name": name, "values": [*labels]}
        return Split("compared_by_feature", errored, place, values, labels, rows[0][1] if rows else 0, note)
    bounds = sorted(set(quartiles or ()))
    values = {"name": name, "bounds": bounds}
    return Split("compared_by_feature", errored, _BY_QUARTILE, values, _quartiles(bounds), None, note)


def _quartiles(bounds: Sequence[float]) -> tuple[str, ...]:
    texts = [f"{bound:.12g}" for bound in bounds]
    first, last = (f"up to {texts[0]}", f"over {texts[-1]}") if texts else ("finite", "")
    between = (f"over {low}, up to {high}" for low, high in pairwise(texts))
    return (first, *between, *filter(None, (last,)), "not finite")


def _with_features(lake: OpenLake) -> tuple[str | None, str]:
    """Make `compared_by_feature`; what the errors by feature are called, where they are known, and a note."""
    whole = _covered(lake, "compared")
    lake.rows(_OWN)
    kept, errored = _covered(lake, "compared_by_feature"), None
    if _share(kept, whole) < _KNOWN and REQUESTS.name in lake.tables and lake.tables[REQUESTS.name].files:
        load_archive(lake)
        for source, columns in (("compared", _COLUMNS), ("errored", "")):
            lake.rows(_ARCHIVED.format(source=source, columns=columns))
        kept, errored = _covered(lake, "compared_by_feature"), "errored_by_feature"
    if _share(kept, whole) < _KNOWN:
        raise SettingsError(
            f"the features of only {sum(kept):,} of {sum(whole):,} compared requests are known, and not of "
            "agreements and disagreements alike: no rate by a feature would be true. The workers keep those "
            "of all requests with --keep-features all, and the aggregator archives requests with "
            "--archive-requests"
        )
    unknown = sum(whole) - sum(kept)
    notes = [f"The features of {_values.many(unknown, 'compared request')} are not known."] if unknown else []
    if errored is None:
        notes.append("Errors carry no features: they are in none of these groups.")
    return errored, " ".join(notes)


def _covered(lake: OpenLake, source: str) -> tuple[int, int]:
    """How many agree, and how many others there are."""
    [(agreements, others)] = lake.rows(_COVERED.format(source=source))
    return agreements, others


def _share(kept: tuple[int, int], whole: tuple[int, int]) -> float:
    """The smaller of the two shares."""
    return min((part / all_ for part, all_ in zip(kept, whole, strict=True) if all_), default=1.0)
