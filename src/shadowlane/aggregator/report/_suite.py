"""The regression suite: disagreements worth asking the next shadow about, written to a file.

Of each rule some requests, of the rest the largest disagreements and a sample. What is expected is what the
label says, where it names a class as the shadow does; else what the primary answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report._shared import disagreement_rules
from shadowlane.aggregator.report._shared_sample import define_archive, left_join
from shadowlane.aggregator.report._shared_sql import Conditions
from shadowlane.aggregator.report.figures import Rules
from shadowlane.aggregator.rules import Term
from shadowlane.errors import SettingsError
from shadowlane.lake import (
    COMPARISONS,
    ERRORS,
    LABEL_KEY,
    LABELS,
    LATEST_FIRST,
    LEDGER,
    REQUESTS,
    WITHDRAWN,
    Lake,
    OpenLake,
    read_lake,
)
from shadowlane.schemas.suite import MOST_ROWS, SUITE, is_parquet, write_suite

ROWS = 500
#: The name of the labels that say what the right answer was.
LABEL = "label"

_LACKING = "SELECT 1 FROM compared WHERE NOT agreement AND features.missing IS NULL LIMIT 1"

_CHOOSABLE = """
SELECT source_topic, source_partition, source_offset, event_time, is_flip, size, draw{rules} FROM (
  SELECT request, source_topic, source_partition, source_offset, event_time,
    primary_label IS DISTINCT FROM shadow_label AS is_flip,
    CASE WHEN primary_label IS DISTINCT FROM shadow_label
      THEN coalesce(primary_score, 0) + coalesce(shadow_score, 0) ELSE abs(difference) END AS size,
    hash(source_partition, source_offset) AS draw,
    (epoch_us(event_time) // 3600000000) % 24 AS hour,
    features.missing IS NOT NULL AS is_carried{of_rows}
  FROM compared WHERE NOT agreement
) {joined}
WHERE is_carried{or_archived}
"""

_WRITTEN = """
SELECT compared.request AS request_id, compared.event_time, model_version, entity_id, {features} AS features,
  primary_score, primary_label, primary_vector, primary_ranking, primary_latency_ms AS latency_ms, segments,
  shadow_version, shadow_score, shadow_label, shadow_vector, shadow_ranking,
  compared.source_topic, compared.source_partition, compared.source_offset, why,
  found.label_label, found.label_score
FROM compared
JOIN (SELECT unnest($topics) AS topic, unnest($partitions) AS partition, unnest($offsets) AS "offset",
  unnest($whys) AS why, unnest($seats) AS seat) AS chosen
  ON source_topic = topic AND source_partition = partition AND source_offset = "offset"
LEFT JOIN found ON found.request_id = compared.request
{joined}
WHERE NOT agreement
ORDER BY seat, compared.request
"""

_FOUND = f"""
CREATE OR REPLACE TEMP VIEW found AS
SELECT request_id, label_label, label_score FROM (
  SELECT * FROM read_parquet(getvariable('{LABELS.name}'), hive_partitioning = false, union_by_name = true)
  WHERE coalesce(nullif(name, ''), '{LABEL}') = '{LABEL}'
)
QUALIFY row_number() OVER (PARTITION BY {LABEL_KEY.replace("model, ", "")} ORDER BY {LATEST_FIRST}) = 1
  AND NOT ({WITHDRAWN})
"""  # noqa: S608 - of constants

_PARTS = ("score", "label", "vector", "ranking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a suite came to hold."""

    path: Path
    rows: int
    disagreements: int  # of the scope, with features or without
    without_features: int  # of these: carried by no comparison, nor in the archive
    by_label: int  # rows that are held to a label
    rules: tuple[str, ...]


def export_suite(lake: Lake, scope: Scope, path: Path, *, rows: int = ROWS) -> Exported:
    """Write the scope's disagreements, so many at most, as a suite: JSON lines or Parquet, by the name.

    Raises:
        SettingsError: the path is no suite's, the number is none, or no disagreement has its features.
        SuiteFileError: the file cannot be written.
        LakeError: the lake cannot be read.
    """
    is_parquet(path)
    if not 0 < rows <= MOST_ROWS:
        raise SettingsError(f"{rows} rows: a suite has from 1 to {MOST_ROWS:,}")
    tables = (COMPARISONS, ERRORS, LEDGER, LABELS, REQUESTS)
    return read_lake(lake, scope, tables, lambda opened: _export(opened, scope, path, rows))


def _export(lake: OpenLake, scope: Scope, path: Path, rows: int) -> Exported:
    load(lake, scope)
    lake.define(LABELS.name, _FOUND)
    rules = disagreement_rules(lake)
    is_archived = bool(lake.rows(_LACKING)) and define_archive(lake)
    choosable = _choosable(lake, rules, is_archived=is_archived)
    number = len(choosable["size"])
    if not number:
        why = "none disagreed" if not rules.sought else "none of the comparisons carries its features"
        raise SettingsError(f"nothing to put into {path.name}: {why}")
    written = _rows(lake, scope, choosable, _chosen(choosable, rules, rows), is_archived=is_archived)
    write_suite(path, pa.Table.from_pylist(written, SUITE))
    return Exported(
        path=path,
        rows=len(written),
        disagreements=rules.sought,
        without_features=rules.sought - number,
        by_label=sum(row["expected_from"] == "label" for row in written),
        rules=tuple(rule.text for rule in rules.rules),
    )


def _choosable(lake: OpenLake, rules: Rules, *, is_archived: bool) -> dict[str, NDArray[Any]]:
    """The disagreements that have their features, and which rules hold for each."""
    conditions = Conditions(archived=is_archived)
    held = [conditions.rule([Term.of_dict(each) for each in rule.terms]) for rule in rules.rules]
    of_archive = f"features.missing IS NOT NULL AS is_archived{conditions.of_archive}"
    statement = _CHOOSABLE.format(
        rules="".join(f", {each} AS rule_{place}" for place, each in enumerate(held)),
        of_rows=conditions.of_rows,
        joined=left_join(of_archive) if is_archived else "",
        or_archived=" OR is_archived" if is_archived else "",
    )
    order = " ORDER BY event_time, source_topic, source_partition, source_offset"
    return lake.arrays(statement + order, conditions.values)


def _chosen(choosable: Mapping[str, NDArray[Any]], rules: Rules, most: int) -> dict[int, str]:
    """The places of the requests that are written, and why each is: no request twice.

    Half of them stand for the rules, a quarter are the largest, and the others a sample of all.
    """
    size = np.nan_to_num(choosable["size"].astype(np.float64), nan=-1.0)
    by_size = np.lexsort((-size, ~choosable["is_flip"].astype(bool)))
    by_chance = np.argsort(choosable["draw"], kind="stable")
    chosen: dict[int, str] = {}
    for place, rule in enumerate(rules.rules):
        holds = choosable[f"rule_{place}"].astype(bool)
        _take(chosen, by_chance[holds[by_chance]], max(1, most // 2 // len(rules.rules)), rule.text, most)
    _take(chosen, by_size, max(1, most // 4), "largest", most)
    _take(chosen, by_chance, most, "sample", most)
    return chosen


def _take(chosen: dict[int, str], places: NDArray[np.int64], count: int, why: str, most: int) -> None:
    before = len(chosen)
    for place in places.tolist():
        if len(chosen) >= most or len(chosen) - before >= count:
            break
        chosen.setdefault(place, why)


def _rows(
    lake: OpenLake,
    scope: Scope,
    choosable: Mapping[str, NDArray[Any]],
    chosen: Mapping[int, str],
    *,
    is_archived: bool,
) -> list[dict[str, Any]]:
    places = list(chosen)
    values = {
        "topics": choosable["source_topic"][places].tolist(),
        "partitions": choosable["source_partition"][places].tolist(),
        "offsets": choosable["source_offset"][places].tolist(),
        "whys": [chosen[place] for place in places],
        "seats": list(range(len(places))),
    }
    statement = _WRITTEN.format(
        features="coalesce(features, archived)" if is_archived else "features",
        joined=left_join("features AS archived") if is_archived else "",
    )
    table = lake.columns(statement, values)
    return [_row(row, scope) for row in table.to_pylist() if row["features"] is not None]


def _row(row: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    primary = {part: row[f"primary_{part}"] for part in _PARTS}
    shadow = {part: row[f"shadow_{part}"] for part in _PARTS}
    is_labelled = row["label_label"] is not None and shadow["label"] is not None
    expected = {"label": row["label_label"]} if is_labelled else primary
    kept = {name: row[name] for name in SUITE.names if name in row}
    return kept | {
        "model": scope.model,
        "features": _whole(row["features"]),
        "segments": row["segments"] or [],
        "prediction": primary,
        "shadow": scope.shadow,
        "shadow_prediction": shadow,
        "expected": expected,
        "expected_from": "label" if is_labelled else "primary",
    }


def _whole(features: Mapping[str, Sequence[Any] | None]) -> dict[str, Sequence[Any]]:
    """Features as a request has them: each map is there, if empty."""
    return {kind: part or [] for kind, part in features.items()}
