"""Parquet in columns, each typed by the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shadowlane.aggregator.labels._file import LabelFile
from shadowlane.aggregator.labels._records import Bad, Column, Records, Tick, one
from shadowlane.errors import LabelFileError

_ROWS = 64 * 1024


class ParquetReader:
    """A Parquet file."""

    place = "row"

    def __init__(self, file: LabelFile, tick: Tick) -> None:
        self._file, self._tick = file, tick
        with file.errors(), _errors(file):
            self._parquet = pq.ParquetFile(file.path)

    @property
    def there(self) -> Sequence[str]:
        """Its columns."""
        names: list[str] = self._parquet.schema_arrow.names
        return names

    def read(self, roles: Mapping[str, str], bad: Bad) -> Iterator[Records]:  # noqa: ARG002 - a Reader's
        """All rows; the first is row 1."""
        number, whole = 1, self._parquet.metadata.num_rows
        with self._file.errors(), _errors(self._file):
            for batch in self._parquet.iter_batches(_ROWS, columns=list(dict.fromkeys(roles.values()))):
                numbers = np.arange(number, number + batch.num_rows, dtype=np.int64)
                number += batch.num_rows
                yield Records(numbers, {role: _column(batch.column(name)) for role, name in roles.items()})
                self._tick(number - 1, whole)


def _column(values: pa.Array) -> Column:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Column(values.cast(pa.string()), np.ones(len(values), bool))
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return _unquoted(values.cast(pa.string()))
    if pa.types.is_decimal(kind):
        values, kind = values.cast(pa.float64()), pa.float64()
    if pa.types.is_floating(kind):
        text = values.cast(pa.string())
        whole = pc.match_substring_regex(text, r"^-?[0-9]+$")
        return _unquoted(pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text))
    return Column(values)


def _unquoted(text: pa.Array) -> Column:
    return Column(one(text), np.zeros(len(text), bool))


@contextmanager
def _errors(file: LabelFile) -> Iterator[None]:
    """What pyarrow says of a file that is none, in a sentence."""
    try:
        yield
    except pa.ArrowException as error:
        raise LabelFileError(f"{file.name} is a damaged Parquet file: {error}") from error
