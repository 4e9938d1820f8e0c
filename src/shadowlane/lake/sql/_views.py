"""The lake's tables as a query sees them: views over exact files, and some with each identity once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shadowlane.lake._engine import literal
from shadowlane.lake._labels import LABEL_KEY, LATEST_FIRST, WITHDRAWN
from shadowlane.lake._listing import NO_VALUE
from shadowlane.lake._tables import COMPARISONS, LABELS, TABLES, TableSpec

_REQUEST = "coalesce(nullif(request_id, ''), concat_ws('/', source_topic, source_partition, source_offset))"

#: The columns that folders are named after, from text: older engines do not read the folder of a null.
_KEYS = {"model": f"nullif(model, '{NO_VALUE}') AS model", "date": "TRY_CAST(date AS DATE) AS date"}

#: Each view over a table: of rows with the same identity, the one that counts.
_CHOSEN: Mapping[str, tuple[TableSpec, str, str]] = {
    # As the report counts: a request that was sent or landed twice is one, and its first comparison counts.
    "first_comparisons": (
        COMPARISONS,
        f"model, shadow, run, {_REQUEST}",
        "event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset",
    ),
    # What is known of an outcome now: labels come late, twice and corrected.
    "latest_labels": (LABELS, LABEL_KEY, LATEST_FIRST),
}
#: What a row of a view says with none of its values: that there is nothing to see.
_TAKEN_BACK = {"latest_labels": WITHDRAWN}


def specs_of(names: frozenset[str]) -> tuple[TableSpec, ...]:
    """The tables behind these names."""
    wanted = names | {_CHOSEN[name][0].name for name in names & _CHOSEN.keys()}
    return tuple(spec for spec in TABLES if spec.name in wanted)


def definitions(spec: TableSpec, files: Sequence[str]) -> list[str]:
    """The statements that make a table's views; a model is text and a date a date, as whatever they look."""
    keys = ", ".join(spec.partition_by)
    types = ", ".join(f"{name}: VARCHAR" for name in spec.partition_by)
    listed = ", ".join(quoted(literal(file)) for file in files)
    source = (
        f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, hive_types = {{{types}}})"
    )
    chosen = [
        f"CREATE VIEW {name} AS SELECT * FROM {spec.name} "  # noqa: S608 - of constants
        f"QUALIFY row_number() OVER (PARTITION BY {identity} ORDER BY {order}) = 1 "
        f"AND NOT ({_TAKEN_BACK.get(name, 'false')})"
        for name, (table, identity, order) in _CHOSEN.items()
        if table is spec
    ]
    made = ", ".join(_KEYS[name] for name in spec.partition_by)
    whole = f"CREATE VIEW {spec.name} AS SELECT * EXCLUDE ({keys}), {made} FROM {source}"  # noqa: S608 - quoted
    return [whole, *chosen]


def quoted(text: str) -> str:
    """A text as the engine's language writes it."""
    return "'" + text.replace("'", "''") + "'"
