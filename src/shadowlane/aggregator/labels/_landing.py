"""Landing checked rows in the lake's table of labels, each once, whoever else does so and whatever dies.

A commit carries the next line of this file under an app id of its own, and with the file's first commit
the number of the import: how many there were before it, and itself. The number makes two imports begin
one after the other, and it says which of them counts where both say the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.aggregator.labels._checking import CHECKED
from shadowlane.aggregator.labels._records import one
from shadowlane.lake import LABELS, Lake, LakeTable, TakenOverError, count_rows

_IMPORTS = "labels-imports"
_TRIES = 100


class LabelLanding:
    """One file's way into the lake."""

    def __init__(self, lake: Lake, digest: str, source: str, scores: Sequence[str]) -> None:
        self._table = LakeTable(lake, LABELS)
        self._position, self._number = app_ids(digest)
        self._source, self._scores = source, pa.array(scores, pa.string())

    def land(self, rows: pa.Table) -> int:
        """Commit those of a group of rows that have not landed yet; how many that were."""
        for _ in range(_TRIES):
            with suppress(TakenOverError):
                return self._try(rows)
        return self._try(rows)

    def _try(self, rows: pa.Table) -> int:
        landed = self._table.resume(self._position) or 0
        fresh = rows.filter(pc.greater_equal(rows.column("line"), landed)) if landed else rows
        if not fresh.num_rows:
            return 0
        moves = {self._position: fresh.column("line")[-1].as_py() + 1}
        number = self._table.resume(self._number)
        if number is None:
            number = (self._table.resume(_IMPORTS) or 0) + 1
            moves |= {self._number: number, _IMPORTS: number}
        self._table.append(self._rows(fresh, number), moves)
        return int(fresh.num_rows)

    def _rows(self, rows: pa.Table, number: int) -> pa.Table:
        columns = {name: one(rows.column(name)) for name in CHECKED.names}
        size, is_score = rows.num_rows, pc.is_in(columns["name"], self._scores)
        is_list = pc.or_(pc.is_valid(columns["vector"]), pc.is_valid(columns["ranking"]))
        no_text = pa.scalar(None, pa.string())
        values = {
            "request_id": columns["request_id"],
            "name": columns["name"],
            "label_score": pc.if_else(is_score, columns["number"], pa.scalar(None, pa.float64())),
            "label_label": pc.if_else(pc.or_(is_score, is_list), no_text, columns["text"]),
            "label_vector": columns["vector"],
            "label_ranking": columns["ranking"],
            "observed_at": columns["observed_at"],
            "source": pa.repeat(pa.scalar(self._source, pa.string()), size),
            "landed_partition": pa.repeat(pa.scalar(-number, pa.int32()), size),
            "landed_offset": columns["line"],
            "model": columns["model"],
            "date": columns["observed_at"].cast(pa.date32()),
        }
        schema = LABELS.schema
        return pa.table(
            [values[name].cast(kind) for name, kind in zip(schema.names, schema.types, strict=True)],
            schema=schema,
        )


def landed_already(lake: Lake, digest: str) -> int:
    """The line that an import goes on with, without making a table where there is none."""
    if not count_rows(lake, [LABELS.name]):
        return 0
    return LakeTable(lake, LABELS).resume(app_ids(digest)[0]) or 0


def app_ids(digest: str) -> tuple[str, str]:
    """Under which a file's next line and its import's number are kept."""
    return f"labels-import/{digest}", f"labels-import-number/{digest}"
