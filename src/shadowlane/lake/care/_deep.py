"""`shadowlane lake status --deep`: what only the rows themselves can tell; each figure says what it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shadowlane.lake._listing import Everything
from shadowlane.lake._location import Lake
from shadowlane.lake._reader import OpenLake, open_lake
from shadowlane.lake._tables import COMPARISONS, DEAD_LETTERS, ERRORS, TABLES, TableSpec

# Offsets in order within a partition: where the step to one is more than 1, offsets before it are missing.
_RUNS = """
SELECT {keys}, min(place), max(place), count(*)::BIGINT,
       count(*) FILTER (step > 1), coalesce(sum(step - 1) FILTER (step > 1), 0)::BIGINT,
       greatest(coalesce(max(step), 1) - 1, 0), arg_max(place - step + 1, step) FILTER (step > 1)
FROM (SELECT *, place - lag(place) OVER (PARTITION BY {keys} ORDER BY place) AS step FROM places)
GROUP BY {keys} ORDER BY {keys}
"""
_LETTERS = """
CREATE TEMP TABLE letters AS
SELECT topic, landed_partition AS part, landed_offset AS place, error_type, landed_at
FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
WHERE topic IS NOT NULL
"""
_REASONS = """
SELECT topic, error_type, count(*), epoch_us(max(landed_at)) FROM letters GROUP BY ALL ORDER BY ALL
"""
# A label from a file has the number of its import for a partition, below 0; its lines may leave gaps.
_LANDED = """
CREATE OR REPLACE TEMP TABLE places AS
SELECT DISTINCT landed_partition AS part, landed_offset AS place
FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
WHERE landed_offset IS NOT NULL AND landed_partition >= 0
"""
_LETTERS_TOO = """
INSERT INTO places SELECT DISTINCT part, place FROM letters WHERE ends_with(topic, $ending)
"""
_REPLAYS = """
CREATE TEMP TABLE {name} AS
SELECT model, shadow, run, source_topic AS topic, source_partition AS part, source_offset AS place
FROM read_parquet($files, union_by_name = true, hive_partitioning = true,
                  hive_types = {{'model': VARCHAR, 'date': DATE}})
WHERE source_offset IS NOT NULL
"""
_SOURCES = """
CREATE OR REPLACE TEMP TABLE places AS SELECT * FROM comparisons UNION SELECT * FROM errors
"""
_DUPLICATES = """
SELECT model, (sum(times) - count(*))::BIGINT
FROM (SELECT model, count(*) AS times FROM comparisons GROUP BY model, shadow, run, topic, part, place)
GROUP BY model ORDER BY model
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What the name of a table's topic ends with.
_TOPICS = {
    "comparisons": "shadow-comparisons",
    "errors": "shadow-errors",
    "labels": "production-labels",
    "ledger": "shadow-ledger",
    "requests": "production-requests",
}


@dataclass(frozen=True, slots=True)
class Gaps:
    """Offsets of one partition, from its first to its last that is in the lake, and those in between not.

    A transaction's end takes up one offset, so gaps of one are to be expected where workers write in
    transactions. Of a longer gap, an aborted transaction is a reason, too.
    """

    first: int
    last: int
    present: int
    gaps: int
    missing: int
    longest: int
    longest_at: int | None


@dataclass(frozen=True, slots=True)
class LandedGaps:
    """The offsets of a topic's partition that are neither a row nor a dead letter."""

    table: str
    partition: int
    gaps: Gaps


@dataclass(frozen=True, slots=True)
class SourceGaps:
    """The offsets of the requests that have neither a comparison nor an error of this shadow and run.

    Those of other models' requests are among them, where models share a topic.
    """

    model: str | None
    shadow: str
    run: str
    topic: str
    partition: int
    gaps: Gaps


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many comparisons of a model repeat the identity of another: reports count each identity once."""

    model: str | None
    repeated: int


@dataclass(frozen=True, slots=True)
class Letters:
    """Messages of a topic that could not be read, for one reason."""

    topic: str
    error_type: str
    messages: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Deep:
    """What a scan of the rows found."""

    landed: list[LandedGaps]
    sources: list[SourceGaps]
    duplicates: list[Duplicates]
    dead_letters: list[Letters]


def look_deep(lake: Lake, tables: Sequence[TableSpec] = TABLES, *, model: str | None = None) -> Deep:
    """Read the places of all rows; it takes about a second for ten million.

    Raises:
        DamagedLakeError: a file is gone, cut or altered.
    """
    with open_lake(lake, Everything(), tables) as opened:
        letters = _load_letters(opened) if DEAD_LETTERS in tables else []
        landed = [
            each
            for spec in tables
            if spec.name in _TOPICS
            for each in _landed(opened, spec, with_letters=DEAD_LETTERS in tables)
        ]
    if not {COMPARISONS, ERRORS} <= {*tables}:
        return Deep(landed, [], [], letters)
    with open_lake(lake, Everything(model), [COMPARISONS, ERRORS]) as opened:
        return Deep(landed, _sources(opened), _duplicates(opened), letters)


def _load_letters(opened: OpenLake) -> list[Letters]:
    opened.load(DEAD_LETTERS.name, _LETTERS, {})
    return [
        Letters(topic, error_type, messages, _moment(newest))
        for topic, error_type, messages, newest in opened.rows(_REASONS)
    ]


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _landed(opened: OpenLake, spec: TableSpec, *, with_letters: bool) -> list[LandedGaps]:
    opened.load(spec.name, _LANDED, {})
    if with_letters:
        opened.rows(_LETTERS_TOO, {"ending": _TOPICS[spec.name]})
    rows = opened.rows(_RUNS.format(keys="part"))
    return [LandedGaps(spec.name, row[0], Gaps(*row[1:])) for row in rows]


def _sources(opened: OpenLake) -> list[SourceGaps]:
    for spec in (COMPARISONS, ERRORS):
        opened.load(spec.name, _REPLAYS.format(name=spec.name), {})
    opened.rows(_SOURCES)
    rows = opened.rows(_RUNS.format(keys="model, shadow, run, topic, part"))
    return [
        SourceGaps(model, shadow, run, topic, part, Gaps(*gaps))
        for model, shadow, run, topic, part, *gaps in rows
    ]


def _duplicates(opened: OpenLake) -> list[Duplicates]:
    return [Duplicates(*row) for row in opened.rows(_DUPLICATES)]
