"""The features that were missing, that no model takes, and that were other than what the primary had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shadowlane.aggregator.report._columns import Columns
from shadowlane.aggregator.report._rates import rate_of
from shadowlane.aggregator.report._strata import Strata
from shadowlane.aggregator.report.figures import FeatureFigure, Features, Rate
from shadowlane.lake import OpenLake

#: So many features are shown; of the rest it is said how many they are.
SHOWN = 50

BY_ROWS = "comparisons and errors"
BY_WORKERS = "the workers' counts"

# Requests lack few different sets of features: the sets are counted, then their names.
_MISSING = """
SELECT name, sum(requests)::BIGINT, sum(disagreements)::BIGINT
FROM (
  SELECT unnest(list_distinct(missing_features)) AS name, requests, disagreements
  FROM (
    SELECT missing_features, count(*) AS requests, count(*) FILTER (NOT agreement) AS disagreements
    FROM compared WHERE len(missing_features) > 0 GROUP BY ALL
    UNION ALL
    SELECT missing_features, count(*), 0 FROM errored WHERE len(missing_features) > 0 GROUP BY ALL
  )
)
WHERE name IS NOT NULL GROUP BY name
"""

_OF_ERRORS = "SELECT count(missing_features), count(*) FILTER (len(missing_features) > 0) FROM errored"

_FETCHED = """
SELECT name, count(*) FROM (
  SELECT unnest(list_distinct(flatten([
    map_keys(fetched.numbers), map_keys(fetched.integers), map_keys(fetched.flags),
    map_keys(fetched.strings), map_keys(fetched.vectors), map_keys(fetched.json), fetched.missing
  ]))) AS name
  FROM compared WHERE fetched.missing IS NOT NULL
)
WHERE name IS NOT NULL GROUP BY name
"""

_COUNTED = """
SELECT entry.key, sum(entry.value)::BIGINT
FROM (SELECT unnest(map_entries({column})) AS entry FROM worker)
GROUP BY entry.key
"""
_OBSERVED = "SELECT coalesce(sum(observed), 0)::BIGINT FROM worker"


@dataclass(frozen=True, slots=True)
class _Missing:
    """How often each feature had no value, and of how many requests that is known."""

    by_name: Mapping[str, int]
    of_disagreements: Mapping[str, int]
    requests: Rate
    whole: int
    source: str


def features(lake: OpenLake, columns: Columns, strata: Strata) -> Features | None:
    """The features that are not what they should be; None where there are no requests.

    `worker` must be loaded: the latest counts of each worker.
    """
    requests = len(columns) + sum(each.requests for each in strata.errored)
    if not requests:
        return None
    missing = _missing(lake, columns, requests)
    unexpected = dict(lake.rows(_COUNTED.format(column="unexpected_features")))
    fetched = _fetched(lake, columns)
    disagreements = strata.count(lambda each: each.agreement is False)
    counts = (missing.by_name, unexpected, fetched)
    names = sorted({*missing.by_name, *unexpected, *fetched}, key=lambda name: (-_most(counts, name), name))
    return Features(
        features=tuple(
            FeatureFigure(
                name=name,
                missing=rate_of(missing.by_name.get(name, 0), missing.whole),
                missing_of_disagreements=_share(missing, name, disagreements),
                unexpected=unexpected.get(name, 0),
                fetched_differently=rate_of(fetched[name], len(columns)) if name in fetched else None,
            )
            for name in names[:SHOWN]
        ),
        requests_with_missing=missing.requests,
        source=missing.source,
        others=len(names[SHOWN:]),
    )


def _most(counts: tuple[Mapping[str, int], ...], name: str) -> int:
    return max(each.get(name, 0) for each in counts)


def _share(missing: _Missing, name: str, disagreements: int) -> float | None:
    if missing.source != BY_ROWS or not disagreements:
        return None
    return missing.of_disagreements.get(name, 0) / disagreements


def _missing(lake: OpenLake, columns: Columns, requests: int) -> _Missing:
    """By the rows; where none of them says anything, by the workers' counts, which know no window."""
    [(known, lacking)] = lake.rows(_OF_ERRORS)
    known += sum(part.given("has_missing") for part in columns.parts)
    lacking += sum(int(np.count_nonzero(part.is_true("has_missing"))) for part in columns.parts)
    if not known:
        counted = dict(lake.rows(_COUNTED.format(column="missing_features")))
        if counted:
            [(observed,)] = lake.rows(_OBSERVED)
            whole = max(observed, *counted.values())
            return _Missing(counted, {}, rate_of(0, 0), whole, BY_WORKERS)
    rows = lake.rows(_MISSING) if lacking else []
    return _Missing(
        {name: count for name, count, _ in rows},
        {name: disagreements for name, _, disagreements in rows},
        rate_of(lacking, requests),
        requests,
        BY_ROWS,
    )


def _fetched(lake: OpenLake, columns: Columns) -> Mapping[str, int]:
    """Of how many requests a feature was fetched, and was not what the primary had."""
    has_any = any(part.is_true("has_fetched").any() for part in columns.parts)
    return dict(lake.rows(_FETCHED)) if has_any else {}
