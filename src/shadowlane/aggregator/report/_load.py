"""What the report reads from the lake: views and tables of the engine, each request once.

`compared` holds a request's first comparison, with all columns of the lake's table; `errored` a request's
last error, of requests without any comparison: one that failed and was then compared (redriven, say) was
compared. A message that could not be decoded is in `undecodable` and no request: no model was asked, and on
a topic that several models share it need not have been meant for this one. A row is first known by where
its request lay in Kafka *and* its request_id, so that a topic made anew, whose offsets begin at 0 again,
hides nothing; a request_id at several places is one request that a client sent again. The agreement of a
pair that a rule ignores is null, and only that one.

`compared` is a view, so that a figure reads the columns that it needs and no others. Few requests repeat:
those that may are found by their ids' hashes, and only these are put in order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.comparators import IGNORED
from shadowlane.lake import COMPARISONS, ERRORS, OpenLake
from shadowlane.lake.sql import columns_of

_REQUEST = "coalesce(nullif(request_id, ''), concat_ws('/', source_topic, source_partition, source_offset))"

# A filter over what errors do not have (a prediction, say) is true of none of them.
_ROWS = """
CREATE OR REPLACE TEMP VIEW {name} AS
SELECT * {replaced}, {request} AS request{more}
FROM (
  SELECT * FROM read_parquet(getvariable('{table}'), hive_partitioning = false, union_by_name = true,
    filename = true, file_row_number = true)
  {beside}
)
WHERE {in_scope}
"""

# Only where a row has need of it: an expression in place of a column takes each query twice as long.
_MENDED = """
SELECT bool_or(starts_with(comparator, $ignored)),
  bool_or(model_version IS NULL OR shadow_version IS NULL OR latency_basis IS NULL),
  bool_or(lacks_agreement)
FROM (
  SELECT comparator, model_version, shadow_version, latency_basis, agreement IS NULL AS lacks_agreement
  FROM {name} GROUP BY ALL
)
"""
_NAMED = """
  coalesce(model_version, '') AS model_version, coalesce(shadow_version, '') AS shadow_version"""
_TIMED = "coalesce(latency_basis, 'unknown') AS latency_basis"
_AGREED = "coalesce(agreement, false) AS agreement"
_AGREED_OR_IGNORED = f"""CASE WHEN NOT starts_with(coalesce(comparator, ''), '{IGNORED}')
    THEN coalesce(agreement, false) END AS agreement"""

_AS_ERROR = f"""{_NAMED},
  coalesce(event_time, failed_at) AS event_time,
    coalesce(stage, 'unknown') AS stage, coalesce(error_type, 'unknown') AS error_type,
    coalesce(message, '') AS message"""

_MORE_OF_ERRORS = """,
  nullif(request_id, '') IS NULL AS is_unread,
  nullif(request_id, '') IS NULL AND coalesce(stage, '') = 'decode' AS is_undecodable"""

_COLUMNS_OF_COMPARISONS = (
    "UNION ALL BY NAME SELECT * FROM "
    "read_parquet(getvariable('comparisons')[1], hive_partitioning = false) WHERE false"
)

_ERROR = """
CREATE TEMP TABLE error AS
SELECT * EXCLUDE (filename, file_row_number), row_number() OVER (
    PARTITION BY request
    ORDER BY failed_at DESC, landed_partition DESC, landed_offset DESC, source_partition, source_offset
  ) AS seat
FROM error_row
"""

# The requests that may be there twice, or as an error besides.
_SUSPECTS = "CREATE TEMP TABLE suspect AS SELECT hash FROM suspects"

_SEEN = """
CREATE TEMP TABLE seen AS
SELECT request, event_time, source_topic, source_partition, source_offset,
  filename, file_row_number, landed_partition, landed_offset
FROM comparison WHERE hash({request}) IN (SELECT hash FROM suspect)
"""

_ORDERED = """
CREATE TEMP TABLE seen_in_order AS
SELECT *,
  row_number() OVER (
    PARTITION BY request
    ORDER BY event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset,
      filename, file_row_number
  ) > 1 AS is_later,
  row_number() OVER (
    PARTITION BY request, source_topic, source_partition, source_offset
    ORDER BY landed_partition, landed_offset, filename, file_row_number
  ) > 1 AS is_same_place
FROM seen
"""
_REPEATED = "CREATE TEMP VIEW repeated AS SELECT * FROM seen_in_order WHERE is_later"
_SEEN_AGAIN = "CREATE TEMP VIEW seen_again AS SELECT * FROM seen_in_order WHERE is_same_place"

_COUNT_CONTROL = """
SELECT count(*) FROM read_parquet(getvariable('comparisons'), hive_partitioning = false, union_by_name = true)
WHERE shadow = getvariable('control_shadow') AND run = getvariable('control_run')
"""

_COMPARED = "CREATE TEMP VIEW compared AS SELECT * FROM comparison"
# By numbers where these tell the repeats from all others, as they do unless a topic was made anew: by the
# name of its file each row takes twice as long.
_EACH_ONCE = " ANTI JOIN repeated USING ({key})"
_LANDED = "landed_offset, landed_partition"
_IN_FILE = "file_row_number, filename"
_AT_THESE = f"SELECT count(*) FROM comparison SEMI JOIN repeated USING ({_LANDED})"  # noqa: S608 - constants

# A message that could not be read has no request_id: its place tells whether it was compared later.
_UNANSWERED = """
CREATE TEMP TABLE unanswered AS
SELECT * FROM error
WHERE seat = 1 AND NOT EXISTS (FROM seen WHERE seen.request = error.request)
"""
_READ_LATER = """  AND NOT (is_unread AND EXISTS (
    FROM comparison
    WHERE comparison.source_topic = error.source_topic
      AND comparison.source_partition = error.source_partition
      AND comparison.source_offset = error.source_offset))
"""

_ERRORED = "CREATE TEMP VIEW errored AS SELECT * FROM unanswered WHERE NOT is_undecodable"
_UNDECODABLE = "CREATE TEMP VIEW undecodable AS SELECT * FROM unanswered WHERE is_undecodable"


def load(lake: OpenLake, scope: Scope) -> None:
    """Hold the scope's comparisons and errors."""
    lake.let(shadow=scope.shadow, run=scope.run, start=scope.start, end=scope.end)
    lake.hold(COMPARISONS.name)
    _define(lake, "comparison", scope)
    lake.define(ERRORS.name, _rows("error_row", ERRORS.name, scope))
    lake.rows(_ERROR)
    [(unread,)] = lake.rows("SELECT count(*) FILTER (is_unread) FROM error")
    request, suspects = _suspects(lake, "request" if unread else "request_id")
    lake.give("suspects", hash=suspects)
    lake.rows(_SUSPECTS)
    for statement in (_SEEN.format(request=request), _ORDERED, _REPEATED, _SEEN_AGAIN):
        lake.rows(statement)
    [(repeated,)] = lake.rows("SELECT count(*) FROM repeated")
    lake.rows(_COMPARED + (_each_once(lake, repeated) if repeated else ""))
    lake.rows(_UNANSWERED + (_READ_LATER if unread else ""))
    lake.rows(_ERRORED)
    lake.rows(_UNDECODABLE)


def _each_once(lake: OpenLake, repeated: int) -> str:
    [(at_these,)] = lake.rows(_AT_THESE)
    return _EACH_ONCE.format(key=_LANDED if at_these == repeated else _IN_FILE)


def errors_left_out(lake: OpenLake, scope: Scope) -> int:
    """How many errors are in no count because a condition speaks of what only comparisons have."""
    known = {*ERRORS.schema.names, "request"}
    if scope.where is None or columns_of(scope.where) <= known:
        return 0
    without = _in_scope(replace(scope, where=None), "", "coalesce(event_time, failed_at)")
    [(rows,)] = lake.rows(
        f"SELECT count(*) FROM read_parquet(getvariable('{ERRORS.name}'), "  # noqa: S608 - of constants
        f"hive_partitioning = false, union_by_name = true) WHERE {without}"
    )
    [(kept,)] = lake.rows("SELECT count(*) FROM error")
    return int(rows) - int(kept)


def load_control(lake: OpenLake, scope: Scope, control: Control | None) -> Control | None:
    """Hold an A/A control's comparisons of the same window as `control`, a row for each that landed.

    Without one that is asked for, it is the run that a worker's `--control` makes beside its own; None: there
    is no such run.
    """
    beside = "control" if scope.run == "live" else f"{scope.run}-control"
    chosen = control or Control(scope.shadow, beside)
    lake.let(control_shadow=chosen.shadow, control_run=chosen.run)
    if control is None:
        [(rows,)] = lake.rows(_COUNT_CONTROL)
        if not rows:
            return None
    _define(lake, "control", scope, of="control_")
    return chosen


def _define(lake: OpenLake, name: str, scope: Scope, of: str = "") -> None:
    lake.rows(_rows(name, COMPARISONS.name, scope, of=of))
    [(has_ignored, has_nameless, lacks_agreement)] = lake.rows(
        _MENDED.format(name=name), {"ignored": IGNORED}
    )
    replaced = [_NAMED, _TIMED] if has_nameless else []
    if has_ignored or lacks_agreement:
        replaced.append(_AGREED_OR_IGNORED if has_ignored else _AGREED)
    if replaced:
        lake.rows(_rows(name, COMPARISONS.name, scope, ", ".join(replaced), of))


def _rows(name: str, table: str, scope: Scope, replaced: str = "", of: str = "") -> str:
    is_error = table == ERRORS.name
    replaced = _AS_ERROR if is_error else replaced
    return _ROWS.format(
        name=name,
        table=table,
        request=_REQUEST,
        replaced=f"REPLACE ({replaced})" if replaced else "",
        more=_MORE_OF_ERRORS if is_error else "",
        beside=_COLUMNS_OF_COMPARISONS if is_error and scope.where else "",
        in_scope=_in_scope(scope, of, "coalesce(event_time, failed_at)" if is_error else "event_time"),
    )


def _in_scope(scope: Scope, of: str, time: str) -> str:
    """What a row must meet: only what is asked for, as a condition on ten million rows takes its time."""
    conditions = [f"shadow = getvariable('{of}shadow')", f"run = getvariable('{of}run')"]
    if scope.start is not None:
        conditions.append(f"{time} >= getvariable('start')")
    if scope.end is not None:
        conditions.append(f"{time} < getvariable('end')")
    if scope.where is not None:
        conditions.append(f"({scope.where}\n)")
    return " AND ".join(conditions)


def _suspects(lake: OpenLake, request: str) -> tuple[str, NDArray[np.uint64]]:
    """Hashes of the requests that have several comparisons, or an error; and by chance of few others.

    They are hashes of the request_id alone where each comparison has one; else of what stands for it, too.
    """
    hashes = f"SELECT hash({request}) AS hash FROM"
    compared = lake.arrays(f"{hashes} comparison")["hash"]
    twice = repeats(compared)
    [(null, empty)] = lake.rows("SELECT hash(NULL::VARCHAR), hash('')")
    if request == "request_id" and any((compared == np.uint64(each)).any() for each in (null, empty)):
        return _suspects(lake, "request")
    errored = lake.arrays(f"{hashes} error")["hash"]
    return request, np.union1d(twice, errored)


def repeats(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes that are there more than once.

    By their upper halves first, which sort in half the time; those that meet are then looked at whole.
    """
    halves = (hashes >> np.uint64(32)).astype(np.uint32)
    in_order = np.sort(halves)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    is_marked = np.zeros(1 << 24, bool)
    is_marked[twice >> np.uint32(8)] = True
    marked = hashes[is_marked[halves >> np.uint32(8)]]
    values, counts = np.unique(marked, return_counts=True)
    return values[counts > 1]
