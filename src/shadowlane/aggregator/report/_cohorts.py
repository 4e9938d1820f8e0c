"""How the requests of each cohort fared: one pass over the scope, of which few rows are left.

A *cohort* is the requests with the same values of all segments. What is said of groups (one value, two
values crossed, the earlier and the later half) is added up from the cohorts, so that the lake is read once.
Where there are too many of them (a user's id as a segment, or very many segments), a sample of the requests
says which values are frequent. All others are then taken together before the pass, and segments that would
multiply too far stand in several blocks, which are not crossed with each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._strata import Strata
from shadowlane.lake import COMPARISONS, OpenLake

#: So many names, and so many values of each, are looked at; what is beyond is added up.
MOST_NAMES = 20
MOST_VALUES = 50
#: The places of the values that are not among the most frequent, and of requests without the segment.
OTHER, NONE = MOST_VALUES, MOST_VALUES + 1
PLACES = MOST_VALUES + 2

_MOST_COHORTS = 50_000
_MOST_ROWS = 4 * _MOST_COHORTS  # each in both halves, and as many again
_SAMPLE = 20_000
_LEAST_OF_A_FILE = 50
# A value that is rarer than this in a sample cannot be told from those that are rare everywhere.
_RARE = 0.001

#: What is counted of the requests of each source, in the order of the fields of `Tally`.
COMPARED = """count(*), count(*), count(*) FILTER (agreement IS NULL), count(*) FILTER (agreement),
    count(*) FILTER (abs(shadow_score - primary_score) < 1e300),
    coalesce(fsum(shadow_score - primary_score) FILTER (abs(shadow_score - primary_score) < 1e300), 0),
    0, 0, 0, 0, 0"""
ERRORED = "count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0"
JUDGED = """0, 0, 0, 0, 0, 0, count(*), count(*) FILTER (primary_correct), count(*) FILTER (shadow_correct),
    count(*) FILTER (primary_correct AND NOT shadow_correct),
    count(*) FILTER (shadow_correct AND NOT primary_correct)"""

_BY_MAP = """
SELECT coalesce(map_keys(segments), []), coalesce(map_values(segments), []), is_later, counts
FROM (
  SELECT hash(segments) AS mark, event_time >= make_timestamptz(getvariable('middle')::BIGINT) AS is_later,
    any_value(segments) AS segments, [{counts}]::DOUBLE[] AS counts
  FROM {source} GROUP BY mark, is_later
)
ORDER BY mark, is_later LIMIT $limit
"""

_BY_PLACE = """
SELECT [{places}], is_later, [{counts}]::DOUBLE[]
FROM (
  SELECT *, event_time >= make_timestamptz(getvariable('middle')::BIGINT) AS is_later, {each_place}
  FROM {source}
)
GROUP BY GROUPING SETS ({blocks}) ORDER BY ALL LIMIT $limit
"""
_PLACE = (
    "coalesce(list_position($values{n}::VARCHAR[], segments[$name{n}]) - 1, "
    "CASE WHEN segments[$name{n}] IS NULL THEN {none} ELSE {other} END) AS place{n}"
)

# The first rows of each file: no other rows are read then, and it is the same sample each time.
_SAMPLED = """
SELECT segments FROM comparison WHERE file_row_number < $rows
UNION ALL SELECT segments FROM errored WHERE hash(request) % $every = 0
"""
_VARIETY = f"""
SELECT count(*), coalesce(sum(requests), 0)::BIGINT, count(*) FILTER (requests = 1)
FROM (SELECT count(*) AS requests FROM ({_SAMPLED}) GROUP BY hash(segments))
"""  # noqa: S608 - of constants
_SAMPLE_MAPS = f"""
SELECT coalesce(map_keys(segments), []), coalesce(map_values(segments), []) FROM ({_SAMPLED})
"""  # noqa: S608 - of constants

# The requests whose outcome is known, and both models right or wrong about it.
_OUTCOME = """
CREATE OR REPLACE TEMP VIEW outcome AS
SELECT segments, make_timestamptz(labelled.made) AS event_time, primary_correct, shadow_correct
FROM judged JOIN labelled ON labelled.rowid = judged.place
WHERE is_latest AND primary_correct IS NOT NULL AND name = getvariable('outcome')
"""

Maps = Sequence[tuple[Sequence[str], Sequence[str | None]]]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted of some requests; differences are the shadow's score less the primary's."""

    requests: int
    compared: int
    ignored: int
    agreements: int
    scored: int  # those with two finite scores
    difference: float  # the sum of theirs
    judged: int  # those whose outcome is known
    primary_right: int
    shadow_right: int
    only_primary: int
    only_shadow: int

    @classmethod
    def of(cls, counts: NDArray[np.float64]) -> Tally:
        """From one row of counts, in the order of the fields."""
        requests, compared, ignored, agreements, scored, _, *judged = (int(count) for count in counts)
        return cls(requests, compared, ignored, agreements, scored, float(counts[5]), *judged)

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """Several together."""
        rows = np.array([astuple(each) for each in tallies], np.float64).reshape(-1, COUNTS)
        return cls.of(rows.sum(axis=0))


COUNTS = len(fields(Tally))


@dataclass(frozen=True, slots=True)
class Block:
    """Cohorts by some of the segments: those that are crossed with each other."""

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]  # of each name, the most frequent first
    places: NDArray[np.int64]  # (cohort, name): which of the values, or OTHER, or NONE
    is_later: NDArray[np.bool_]
    counts: NDArray[np.float64]  # (cohort, field of Tally)


@dataclass(frozen=True, slots=True)
class Cohorts:
    """The whole scope, cut by its segments."""

    blocks: tuple[Block, ...]
    unnamed: int  # names of segments that are too rare to be looked at
    variety: Mapping[str, int | None]  # how many values each name has; None where it was not counted
    sampled: int | None  # from how many requests the frequent values are known, where there are too many
    outcome: str | None  # the labels that the requests are judged by

    @property
    def names(self) -> tuple[str, ...]:
        """The names looked at, the most frequent first."""
        return tuple(name for block in self.blocks for name in block.names)


def cohorts(lake: OpenLake, strata: Strata, outcome: str | None = None) -> Cohorts:
    """Count the scope's requests by their segments.

    Args:
        lake: The lake, loaded.
        strata: Its requests, counted by kind.
        outcome: The name of the labels to count by who was right; with it, there is a table `judged`.
    """
    errored = sum(each.requests for each in strata.errored)
    requests = strata.count() + errored
    moments = strata.moments_us
    lake.let(middle=sum(moments) // 2 if moments else None, outcome=outcome)
    sources = {"compared": COMPARED, "errored": ERRORED}
    if outcome is not None:
        lake.rows(_OUTCOME)
        sources["outcome"] = JUDGED
    sample = {
        "rows": max(_LEAST_OF_A_FILE, _SAMPLE // max(1, len(lake.tables[COMPARISONS.name].files))),
        "every": max(1, errored // _SAMPLE),
    }
    rows: Rows = []
    if requests <= _MOST_COHORTS or _are_few(lake, sample, requests):
        rows = _by_map(lake, sources)
        if len(rows) <= _MOST_ROWS:
            return _whole(rows, outcome)
    # Where the sample promised fewer, later requests are unlike it: some of theirs, by their hashes, besides.
    maps = [*lake.rows(_SAMPLE_MAPS, sample), *((row[0], row[1]) for row in rows[:_SAMPLE])]
    return _sampled(lake, sources, maps, requests, outcome)


def _by_map(lake: OpenLake, sources: Mapping[str, str]) -> Rows:
    rows: Rows = []
    for source, counts in sources.items():
        rows += lake.rows(_BY_MAP.format(source=source, counts=counts), {"limit": _MOST_ROWS + 1})
    return rows


def _are_few(lake: OpenLake, sample: Mapping[str, int], requests: int) -> bool:
    [(different, sampled, once)] = lake.rows(_VARIETY, sample)
    return _expected(different, once, sampled, requests) <= _MOST_COHORTS


def _expected(different: int, once: int, sampled: int, requests: int) -> float:
    """At most so many different ones among the requests, by how many of a sample were seen once there."""
    return different + max(0, requests - sampled) * once / max(1, sampled)


def _whole(rows: Rows, outcome: str | None) -> Cohorts:
    """From all maps of segments that there are, each with its counts."""
    maps = [(keys, values) for keys, values, *_ in rows]
    names, frequent = _frequent(maps, [int(row[3][0]) for row in rows])
    shown = names[:MOST_NAMES]
    values = tuple(tuple(frequent[name])[:MOST_VALUES] for name in shown)
    block = _block(shown, values, _places(maps, shown, values), [row[2:] for row in rows])
    variety = {name: len(frequent[name]) for name in shown}
    return Cohorts((block,), len(names) - len(shown), variety, None, outcome)


def _block(
    names: tuple[str, ...],
    values: tuple[tuple[str, ...], ...],
    places: NDArray[np.int64],
    rows: Sequence[tuple[bool | None, Sequence[float]]],
) -> Block:
    counts = np.array([counts for _, counts in rows], np.float64).reshape(len(rows), COUNTS)
    is_later = np.array([bool(is_later) for is_later, _ in rows], np.bool_)
    return Block(names, values, places.reshape(len(rows), len(names)), is_later, counts)


def _frequent(maps: Maps, weights: Iterable[int]) -> tuple[tuple[str, ...], dict[str, dict[str, int]]]:
    """The names, and the values of each with how often they occur: the most frequent first."""
    having: Counter[str] = Counter()
    valued: dict[str, Counter[str]] = {}
    for (keys, values), weight in zip(maps, weights, strict=True):
        for name, value in zip(keys, values, strict=True):
            if value is not None:
                having[name] += weight
                valued.setdefault(name, Counter())[value] += weight
    return tuple(_in_order(having)), {name: _in_order(valued[name]) for name in having}


def _in_order(counted: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))


def _places(maps: Maps, names: tuple[str, ...], values: tuple[tuple[str, ...], ...]) -> NDArray[np.int64]:
    columns = {name: column for column, name in enumerate(names)}
    places = [{value: place for place, value in enumerate(each)} for each in values]
    found = np.full((len(maps), len(names)), NONE, np.int64)
    for row, (keys, held) in enumerate(maps):
        for name, value in zip(keys, held, strict=True):
            column = columns.get(name)
            if column is not None and value is not None:
                found[row, column] = places[column].get(value, OTHER)
    return found


def _sampled(
    lake: OpenLake, sources: Mapping[str, str], maps: Maps, requests: int, outcome: str | None
) -> Cohorts:
    """By the values that are frequent in a sample, in blocks that do not multiply too far."""
    found, frequent = _frequent(maps, [1] * len(maps))
    names = found[:MOST_NAMES]
    values = tuple(_often(frequent[name], len(maps)) for name in names)
    columns = _crossed(_places(maps, names, values), requests)
    rows = _by_place(lake, sources, names, values, columns)
    if len(rows) > _MOST_ROWS:  # the sample promised fewer
        columns = [[column] for column in range(len(names))]
        rows = _by_place(lake, sources, names, values, columns)
    blocks = _blocks(names, values, columns, rows)
    return Cohorts(blocks, len(found) - len(names), dict.fromkeys(names), len(maps), outcome)


def _blocks(
    names: tuple[str, ...],
    values: tuple[tuple[str, ...], ...],
    columns: Sequence[Sequence[int]],
    rows: Rows,
) -> tuple[Block, ...]:
    made = []
    for block in columns:
        mine = [row for row in rows if row[0][block[0]] is not None]
        places = np.array([[row[0][column] for column in block] for row in mine], np.int64)
        held = tuple(values[column] for column in block)
        made.append(_block(tuple(names[column] for column in block), held, places, [row[1:] for row in mine]))
    return tuple(made)


def _often(counted: Mapping[str, int], sampled: int) -> tuple[str, ...]:
    """The most frequent values; of very many, those that the sample can tell from the rare ones."""
    if len(counted) <= MOST_VALUES:
        return tuple(counted)
    return tuple(value for value, times in counted.items() if times > _RARE * sampled)[:MOST_VALUES]


def _crossed(places: NDArray[np.int64], requests: int) -> list[list[int]]:
    """The columns in blocks, each of which makes no more cohorts than can be held."""
    blocks: list[list[int]] = []
    cohort = np.zeros(len(places), np.int64)
    for column in range(places.shape[1]):
        joined = np.unique(cohort * PLACES + places[:, column], return_inverse=True)[1]
        times = np.bincount(joined)
        if blocks and _expected(len(times), int((times == 1).sum()), len(places), requests) <= _MOST_COHORTS:
            blocks[-1].append(column)
            cohort = joined
        else:
            blocks.append([column])
            cohort = places[:, column]
    return blocks


def _by_place(
    lake: OpenLake,
    sources: Mapping[str, str],
    names: tuple[str, ...],
    values: tuple[tuple[str, ...], ...],
    blocks: Sequence[Sequence[int]],
) -> Rows:
    columns = range(len(names))
    parameters: dict[str, Any] = {f"name{n}": names[n] for n in columns}
    parameters |= {f"values{n}": [*values[n]] for n in columns}
    rows: Rows = []
    for source, counts in sources.items():
        statement = _BY_PLACE.format(
            source=source,
            counts=counts,
            places=", ".join(f"place{n}" for n in columns),
            each_place=", ".join(_PLACE.format(n=n, none=NONE, other=OTHER) for n in columns),
            blocks=", ".join(f"({', '.join(f'place{n}' for n in block)}, is_later)" for block in blocks),
        )
        rows += lake.rows(statement, {**parameters, "limit": _MOST_ROWS + 1})
    return rows
