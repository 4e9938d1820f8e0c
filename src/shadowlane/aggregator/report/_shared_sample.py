"""The rows that rules are sought in: all that is sought and some of the rest, by their places in Kafka."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shadowlane.aggregator.report._by_feature import load_archive
from shadowlane.aggregator.report._shared_columns import Rows, fields_of, whole
from shadowlane.aggregator.report._shared_sql import ARCHIVED, OWN
from shadowlane.aggregator.rules import Column
from shadowlane.lake import REQUESTS, OpenLake

_MOST_ROWS = 15_000
_DRAWS = 1 << 32
#: So large a share of the requests, of the sought and of the others, must be in the archive.
_ARCHIVED = 0.9

_COUNTED = "SELECT kind, count(*), count(features.missing) FROM ({rows}) GROUP BY kind ORDER BY kind"

_SAMPLE = """
SELECT * FROM (
  SELECT kind, (hash(source_partition, source_offset) >> 32)::BIGINT AS draw, segments, missing_features,
    model_version, shadow_version, (epoch_us(event_time) // 3600000000) % 24 AS hour,
    source_topic, source_partition, source_offset{more}
  FROM ({rows})
) WHERE draw < ($limits::BIGINT[])[kind + 2]
"""

# `request` tells two requests apart that lay at the same place of a topic that was made anew.
_LEFT_JOIN = """
LEFT JOIN (
  SELECT {of_archive},
    coalesce(nullif(request_id, ''), concat_ws('/', landed_topic, landed_partition, landed_offset))
      AS archived_request,
    landed_topic AS archived_topic, landed_partition AS archived_partition, landed_offset AS archived_offset
  FROM archive
) ON archived_topic = source_topic AND archived_partition = source_partition
  AND archived_offset = source_offset AND archived_request = request
"""


#: What a note says where features are not known of all requests.
NO_FEATURES = "Features were not looked at"
_HINT = (
    NO_FEATURES + ": {why}. The workers keep those of all requests with --keep-features all, "
    "and the aggregator archives requests with --archive-requests."
)


@dataclass(frozen=True, slots=True)
class Population:
    """Rows of a kind each (0: the others; 1, 2, …: what is sought; -1: neither), as a query."""

    rows: str
    kinds: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some of the rows, in the order of their places."""

    columns: Sequence[Column]
    names: Mapping[str, Collection[str]]  # of features, by the map that they are in
    kind: Rows
    draw: Rows
    place: tuple[NDArray[Any], Rows, Rows]  # topic, partition, offset
    counts: Mapping[int, int]  # of all rows, by kind
    limits: Mapping[int, int]  # of each kind the rows with a draw below this are here
    features_from: str | None  # OWN or ARCHIVED
    note: str

    @property
    def is_whole(self) -> bool:
        """Whether all rows are in it."""
        return all(limit == _DRAWS for limit in self.limits.values())

    def rows_for(self, kind: int) -> tuple[Rows, NDArray[np.bool_]]:
        """The rows to set this kind apart from the others in, and which of them are of this kind.

        All others are thinned alike: else errors, of which more were drawn, would colour them.
        """
        limit = min((limit for each, limit in self.limits.items() if each != kind), default=0)
        is_sought = self.kind == kind
        rows = np.flatnonzero(is_sought | (self.draw < limit))
        return rows, is_sought[rows]


def draw_sample(lake: OpenLake, population: Population) -> Sample:
    """Take them, with the features where these can be set side by side."""
    values = dict(population.values)
    counted = lake.rows(_COUNTED.format(rows=population.rows), values)
    counts = {kind: int(rows) for kind, rows, _ in counted}
    is_carried = all(rows == carrying for _, rows, carrying in counted)
    limits = {kind: min(_DRAWS, _MOST_ROWS * _DRAWS // rows) for kind, rows in counts.items()}
    values["limits"] = [limits.get(kind, 0) for kind in range(-1, population.kinds + 1)]
    features_from, note = _features_from(lake, is_carried=is_carried)
    table = _taken(lake, population, values, features_from)
    if features_from == ARCHIVED and (share := _least_known(table)) < _ARCHIVED:
        note = _HINT.format(why=f"the archive holds {share:.0%} of these requests")
        features_from, table = None, table.drop_columns([OWN])
    topics = whole(table["source_topic"]).to_numpy(zero_copy_only=False).astype(str)
    partitions, offsets = (table[name].to_numpy() for name in ("source_partition", "source_offset"))
    order = np.lexsort((offsets, partitions, topics))
    columns, names, more = fields_of(table, order)
    return Sample(
        columns=columns,
        names=names,
        kind=table["kind"].to_numpy()[order],
        draw=table["draw"].to_numpy()[order],
        place=(topics[order], partitions[order], offsets[order]),
        counts=counts,
        limits=limits,
        features_from=features_from,
        note=" ".join(filter(None, (note, more))),
    )


def left_join(of_archive: str) -> str:
    """The archive beside the rows, of which only these columns are taken along."""
    return _LEFT_JOIN.format(of_archive=of_archive)


def _features_from(lake: OpenLake, *, is_carried: bool) -> tuple[str | None, str]:
    """Where features can be had of all requests; where they cannot, why.

    The rows' own ones serve only when none lacks them: as a rule disagreements carry features and
    agreements do not, and then whatever holds for a feature holds for disagreements.
    """
    if is_carried:
        return OWN, ""
    if define_archive(lake):
        return ARCHIVED, ""
    return None, _HINT.format(why="not every request carries them, and there is no archive of requests")


def define_archive(lake: OpenLake) -> bool:
    """Make the archive's rows known, where there are any."""
    is_there = REQUESTS.name in lake.tables and bool(lake.tables[REQUESTS.name].files)
    if is_there:
        load_archive(lake)
    return is_there


def _taken(
    lake: OpenLake, population: Population, values: Mapping[str, Any], features_from: str | None
) -> pa.Table:
    if features_from == ARCHIVED:
        rows = _SAMPLE.format(rows=population.rows, more=", request")
        joined = f"SELECT * FROM ({rows}) {left_join('features')}"  # noqa: S608 - constants
        return lake.columns(joined, values)
    more = ", features" if features_from == OWN else ""
    return lake.columns(_SAMPLE.format(rows=population.rows, more=more), values)


def _least_known(table: pa.Table) -> float:
    """The share of requests that the archive holds, of the sought or of the others, whichever is less."""
    is_known = ~whole(table[OWN]).is_null().to_numpy(zero_copy_only=False)
    kinds = table["kind"].to_numpy()
    return min((float(is_known[kinds == kind].mean()) for kind in np.unique(kinds)), default=0.0)
