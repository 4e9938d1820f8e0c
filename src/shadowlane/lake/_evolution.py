"""Old and new events in one table: which columns it lacks, and which cannot be reconciled."""

from __future__ import annotations

import pyarrow as pa
from deltalake import Field, Schema

from shadowlane.errors import LakeError


def missing_columns(table: Schema, rows: pa.Schema) -> list[Field]:
    """The columns that the rows have and the table does not.

    Raises:
        LakeError: a column is of one type in the table and of another in the rows.
    """
    known = {field.name: field for field in table.fields}
    wanted = Schema.from_arrow(rows)
    for field in wanted.fields:
        there = known.get(field.name)
        if there is not None and there.type != field.type:
            raise LakeError(
                f"column {field.name} is {there.type} in the table and {field.type} in this version's rows: "
                "land them in a new lake folder (--lake), and read the old one with what wrote it"
            )
    return [field for field in wanted.fields if field.name not in known]
