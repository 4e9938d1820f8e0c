"""mlflow:path or mlflow:models:/NAME/VERSION: an MLflow model in its Python form (pyfunc)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._extras import check_pin, check_trust, imported
from shadowlane.replay_worker.models._inputs import Form, form_of, pandas_of
from shadowlane.replay_worker.models._outputs import read_tables
from shadowlane.replay_worker.models._protocol import LoadedModel

#: MLflow's column types as Arrow's; nested ones (arrays, objects) are read from JSON.
_TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("ns"),
}


class MlflowModel(LoadedModel):
    """A pyfunc: asked with a DataFrame as its signature says, or in the form that its user names."""

    def __init__(self, model: Any, source: ModelSource) -> None:
        self._predict = model.predict
        schema = model.metadata.get_input_schema()
        columns = _columns(schema)
        self.names = [column.name for column in columns] or list(source.features)
        if columns and source.features and list(source.features) != self.names:
            raise ModelError(
                f"the model's signature names its features, in this order: {', '.join(self.names)}; leave "
                f"--features out"
            )
        if columns and source.input not in (None, "pandas"):
            raise ModelError(f"input {source.input!r}: the model's signature names columns; it takes pandas")
        self._form = _form(schema, columns, self.names, source)

    def prepare(self, features: FeatureBatch) -> Any:
        """A DataFrame of the signature's types."""
        return self._form.prepare(features)

    def single(self, inputs: Any, row: int) -> tuple[Any, int]:
        """One row of it."""
        return self._form.alone(inputs, row), 0

    def one(self, inputs: Any, row: int) -> object:
        """Ask about one row."""
        return self._predict(inputs if len(inputs) == 1 else self._form.alone(inputs, row))

    def many(self, inputs: Any) -> Any:
        """Ask about all rows at once."""
        return self._predict(inputs)

    def read_each(self, answers: Sequence[Any]) -> pa.StructArray:
        """The predictions in answers to one row each."""
        return read_tables(answers)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a signature."""

    name: str
    #: None: nested.
    type: pa.DataType | None
    required: bool

    def of(self, given: pa.Array) -> pa.Array | None:
        """The feature in this type; None where nobody has it and nobody must.

        Raises:
            ModelError: it is of another type, or missing where the type has nothing for that.
        """
        if not self.required and given.null_count == len(given):
            return None
        if self.type is None or given.type == self.type:
            found = given
        elif given.null_count == len(given):
            found = pa.nulls(len(given), self.type)
        elif pa.types.is_string(given.type) is _comes_as_text(self.type):
            found = self._cast(given)
        else:
            raise ModelError(f"feature {self.name!r} is {given.type}, and the model takes {self.type}")
        if found.null_count and not _may_be_missing(found.type):
            raise ModelError(f"feature {self.name!r} is missing, and {self.type} has nothing for that")
        return found

    def _cast(self, given: pa.Array) -> pa.Array:
        try:
            return given.cast(self.type, safe=not pa.types.is_floating(self.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            # Not as its cause: Arrow names the value.
            raise ModelError(f"feature {self.name!r} is {given.type}, and not always {self.type}") from None


def _comes_as_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_timestamp(kind))


def _may_be_missing(kind: pa.DataType) -> bool:
    """Whether a DataFrame has something for a value that is not there without changing the column's type."""
    return not (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def load(source: ModelSource) -> LoadedModel:
    """Load it, once its user has vouched for the folder: a pyfunc runs the code that it brings."""
    pyfunc = imported("mlflow.pyfunc", "mlflow")
    imported("pandas", "mlflow")
    uri = source.uri.partition(":")[2]
    try:
        folder = Path(imported("mlflow.artifacts", "mlflow").download_artifacts(artifact_uri=uri))
    except Exception as error:
        raise ModelError(f"MLflow model {uri!r} cannot be had: {error}") from None
    if not (folder / "MLmodel").is_file():
        raise ModelError(f"{uri!r} is no MLflow model: there is no file MLmodel in it")
    sys.dont_write_bytecode = True  # what its code is compiled to would lie in the folder, and change its sum
    digest = folder_digest(folder)
    check_pin(source, uri, digest)
    check_trust(source, uri, "an MLflow model", digest)
    return MlflowModel(pyfunc.load_model(str(folder)), source)


def folder_digest(folder: Path) -> str:
    """The sha256 over all files of a folder: each one's path in it and its own sha256, sorted by path."""
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{digest}  {name}\\n".encode())
    return total.hexdigest()


def _columns(schema: Any) -> list[Column]:
    """The signature's columns; none where there is no signature, or one that names none.

    Raises:
        ModelError: it takes named tensors, or a type that no feature has.
    """
    if schema is None or not schema.has_input_names():
        return []
    if schema.is_tensor_spec():
        raise ModelError("the model takes tensors with names: ask it in a python: model")
    return [Column(str(each.name), _type_of(each), each.required) for each in schema.inputs]


def _form(schema: Any, columns: Sequence[Column], names: Sequence[str], source: ModelSource) -> Form:
    """As the signature has it; without one as the user says, or a DataFrame."""
    if columns:
        rows = form_of("pandas", names)
        return Form(lambda batch: _frame(batch, columns), rows.single, rows.alone)
    if schema is None or not schema.is_tensor_spec():
        return form_of(source.input or "pandas", names)
    if source.input not in (None, "numpy"):
        raise ModelError(f"input {source.input!r}: the model's signature is a matrix; it takes numpy")
    (tensor,) = schema.inputs
    rows = form_of("numpy", names)
    return Form(lambda batch: rows.prepare(batch).astype(tensor.type, copy=False), rows.single, rows.alone)


def _type_of(column: Any) -> pa.DataType | None:
    if not hasattr(column.type, "name"):
        return None
    kind: str = column.type.name
    if kind not in _TYPES:
        raise ModelError(f"the model takes {column.name!r} as {kind}, and no feature is that")
    return _TYPES[kind]


def _frame(batch: FeatureBatch, columns: Sequence[Column]) -> Any:
    """The features as the signature has them."""
    given = batch.columns_of([column.name for column in columns])
    found = {column.name: column.of(each) for column, each in zip(columns, given, strict=True)}
    there = {name: column for name, column in found.items() if column is not None}
    frame = pandas_of(pa.table(there))
    nested = [column.name for column in columns if column.type is None and column.name in there]
    for name in nested:
        if pa.types.is_string(there[name].type):
            frame[name] = [text and json.loads(text) for text in there[name].to_pylist()]
    return frame
