"""Whether a table is understood: columns of old and new events, and what other engines made of it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, MapType, StructType

from shadowlane.errors import LakeError
from shadowlane.lake._tables import TableSpec

# What a table of Delta may use and files alone do not tell: rows taken out, columns under other names.
_UNREAD_FEATURES = {"columnMapping", "deletionVectors"}


def check_features(table: DeltaTable, uri: str) -> None:
    """See that a table's files say which rows there are.

    Raises:
        LakeError: another engine keeps it in a way that is not read here.
    """
    unread = _UNREAD_FEATURES.intersection(table.protocol().reader_features or ())
    if unread:
        raise LakeError(
            f"{uri}: another engine has turned on {', '.join(sorted(unread))}, and its files alone no longer "
            "say which rows there are: read it, and care for it, with that engine"
        )


def check_table(table: DeltaTable, spec: TableSpec) -> None:
    """See that rows of this version can go into a table that is there: best known before one is read.

    Raises:
        LakeError: a column is of another type in the table, or the table has other folders.
    """
    folders = tuple(table.metadata().partition_columns)
    if folders != spec.partition_by:
        raise LakeError(
            f"the table {spec.name} is partitioned by {' and '.join(folders) or 'nothing'}, not by "
            f"{' and '.join(spec.partition_by)}: another program's table? Use another lake folder (--lake)"
        )
    lacking(spec.name, table.schema(), spec.schema)


def lacking(name: str, table: Schema, rows: pa.Schema) -> list[Field]:
    """The columns of the rows that the table does not have, or not with all of their fields.

    Raises:
        LakeError: a column is of one type in the table and of another in the rows.
    """
    known = {field.name: field for field in table.fields}
    return [
        field
        for field in Schema.from_arrow(rows).fields
        if field.name not in known or _grows(f"{name}.{field.name}", known[field.name].type, field.type)
    ]


def _grows(path: str, there: Any, here: Any) -> bool:
    """Whether the rows' type has fields that the table's lacks, at any depth."""
    match there, here:
        case StructType(), StructType():
            known = {field.name: field for field in there.fields}
            # Each is looked at, not only up to the first: a later one may be of another type.
            grown = [
                field.name not in known or _grows(f"{path}.{field.name}", known[field.name].type, field.type)
                for field in here.fields
            ]
            return any(grown)
        case ArrayType(), ArrayType():
            return _grows(f"{path}.element", there.element_type, here.element_type)
        case MapType(), MapType():
            in_keys = _grows(f"{path}.key", there.key_type, here.key_type)
            return _grows(f"{path}.value", there.value_type, here.value_type) or in_keys
    if there != here:
        raise LakeError(
            f"{path} is {there.type} in the lake and {here.type} in this version's events: "
            "land them in a new lake folder (--lake); docs/lake.md tells how the two are read as one"
        )
    return False
