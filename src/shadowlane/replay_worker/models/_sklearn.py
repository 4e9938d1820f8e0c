"""sklearn:path/to/model.skops: a scikit-learn estimator; a pickle needs its user's word and its sha256."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import InputForm, ModelSource
from shadowlane.replay_worker.models._estimators import Answers, answers_of
from shadowlane.replay_worker.models._extras import check_trust, imported, read_pinned
from shadowlane.replay_worker.models._inputs import Form, form_of
from shadowlane.replay_worker.models._protocol import LoadedModel

_ZIP = b"PK\x03\x04"
#: They look at the columns' names, or hand them to who does.
_LOOK_AT_NAMES = ("ColumnTransformer", "FunctionTransformer")


class SklearnModel(LoadedModel):
    """A scikit-learn estimator, or one that behaves as they do."""

    def __init__(self, estimator: Any, source: ModelSource) -> None:
        self._answers: Answers = answers_of(estimator)
        self.names, columns = _names(estimator, source.features)
        self._form = _form(estimator, self.names, columns, source.input)

    def prepare(self, features: FeatureBatch) -> Any:
        """The matrix or DataFrame with the model's columns."""
        return self._form.prepare(features)

    def single(self, inputs: Any, row: int) -> tuple[Any, int]:
        """One row of it."""
        return self._form.alone(inputs, row), 0

    def one(self, inputs: Any, row: int) -> object:
        """Ask about one row."""
        return self._answers.ask(inputs if len(inputs) == 1 else self._form.alone(inputs, row))

    def many(self, inputs: Any) -> Any:
        """Ask about all rows at once."""
        return self._answers.ask(inputs)

    def read_each(self, answers: Sequence[Any]) -> pa.StructArray:
        """The predictions in answers to one row each."""
        return self._answers.read(answers)

    def read_many(self, answers: Any, rows: int) -> pa.StructArray:
        """The predictions in the answer to so many rows."""
        found = self._answers.read([answers])
        if len(found) != rows:
            raise ModelError(f"{rows} requests, but the estimator gave {len(found)} answers")
        return found


def load(source: ModelSource) -> LoadedModel:
    """Load the file: skops if it is one, else a pickle that its user vouches for."""
    path = Path(source.uri.partition(":")[2])
    data, digest = read_pinned(source, path)
    if data.startswith(_ZIP):
        return SklearnModel(_of_skops(data, str(path), source.trusted), source)
    check_trust(source, str(path), "a pickle", digest)
    return SklearnModel(imported("joblib", "sklearn").load(io.BytesIO(data)), source)


def _of_skops(data: bytes, name: str, trusted: Sequence[str]) -> Any:
    """The estimator in a skops file, which says what types it holds before any of them is made.

    Raises:
        ModelError: it holds some that neither skops nor the user trusts.
    """
    skops = imported("skops.io", "sklearn")
    found = skops.get_untrusted_types(data=data)
    strange = sorted(set(found).difference(trusted))
    if strange:
        options = " ".join(f"--trust {kind}" for kind in strange)
        raise ModelError(
            f"{name!r} brings in types that skops does not trust by itself. If you trust them: {options}"
        )
    return skops.loads(data, trusted=found)


def _names(estimator: Any, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The features to take from a request, and what the model calls these columns.

    Raises:
        ModelError: the one are not the other.
    """
    own = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    names = list(given) or own
    if not names:
        raise ModelError("the estimator does not name its features: give their names in order (--features)")
    wanted = getattr(estimator, "n_features_in_", len(names))
    if wanted != len(names):
        raise ModelError(f"the estimator takes {wanted} features, and {len(names)} were named")
    moved = [name for place, name in enumerate(names) if name in own and own[place] != name]
    if moved:
        raise ModelError(
            f"the estimator has the features {', '.join(moved)} at other places than --features: leave "
            f"that out, or give the names in the estimator's order: {', '.join(own)}"
        )
    return names, own or names


def _form(estimator: Any, names: Sequence[str], columns: Sequence[object], kind: InputForm | None) -> Form:
    """A DataFrame for what was fitted on one and may look at its names; a list for text; else a matrix."""
    parts = list(_parts(estimator))
    if kind is None and hasattr(_first(estimator), "build_analyzer"):
        return _texts(names)
    if kind is None:
        kind = "pandas" if hasattr(estimator, "feature_names_in_") and any(map(_looks, parts)) else "numpy"
    if kind in ("dicts", "arrow"):
        raise ModelError(f"input {kind!r}: an estimator takes numpy or pandas")
    if kind == "numpy":
        # It would warn at each call that an array has no names; the order of the columns is ours to keep.
        for part in parts:
            vars(part).pop("feature_names_in_", None)
        return form_of(kind, names)
    seen_as_text = _text_columns(parts, columns)
    text = {name for name, column in zip(names, columns, strict=True) if column in seen_as_text}
    form = form_of(kind, names, text)
    if not hasattr(estimator, "feature_names_in_"):
        columns = range(len(names))  # it knows its columns by their places, and would warn of names
    return Form(lambda batch: form.prepare(batch).set_axis(columns, axis=1), form.single, form.alone)


def _texts(names: Sequence[str]) -> Form:
    """One text a request, as a vectorizer at the start of a pipeline takes it.

    Raises:
        ModelError: there are several.
    """
    if len(names) != 1:
        raise ModelError(f"the estimator begins with text, which is one feature, and {len(names)} were named")

    def texts(batch: FeatureBatch) -> list[Any]:
        (column,) = batch.columns_of(names)
        return column.to_pylist()  # type: ignore[no-any-return]

    return Form(texts, lambda rows, row: rows[row], lambda rows, row: [rows[row]])


def _first(estimator: Any) -> Any:
    """What the input meets first."""
    while hasattr(estimator, "steps") or hasattr(estimator, "best_estimator_"):
        estimator = getattr(estimator, "best_estimator_", None) or estimator.steps[0][1]
    return estimator


def _text_columns(parts: Sequence[Any], columns: Sequence[object]) -> set[object]:
    """The columns of which an encoder or vectorizer has seen text: where none is there, it is text still."""
    found: set[object] = set()
    for part in parts:
        own = getattr(part, "feature_names_in_", columns)
        for _, transformer, chosen in getattr(part, "transformers_", ()):
            named = _named(chosen, own)
            for inner in _parts(transformer):
                kinds = [seen.dtype.kind for seen in getattr(inner, "categories_", ())]
                found.update(column for column, kind in zip(named, kinds, strict=False) if kind in "OTU")
                found.update(named if hasattr(inner, "build_analyzer") else ())
    return found


def _named(chosen: Any, columns: Sequence[object]) -> list[object]:
    """The names of columns that are chosen by name, by place or by a mask, as far as that can be told."""
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, (list, np.ndarray)) and all(isinstance(each, str) for each in chosen):
        return list(chosen)
    try:
        return list(np.atleast_1d(np.array(columns, object)[chosen]))
    except (IndexError, TypeError):  # of columns that a step before has made, or a range of names
        return []


def _looks(part: Any) -> bool:
    """Whether an estimator may look at the names or types of columns; of strangers nobody knows."""
    kind = type(part)
    return kind.__name__ in _LOOK_AT_NAMES or kind.__module__.partition(".")[0] != "sklearn"


def _parts(value: Any, depth: int = 8) -> Iterator[Any]:
    """An estimator and all those that it is made of."""
    if isinstance(value, (list, tuple)):
        inner: Any = value
    elif isinstance(value, dict):
        inner = value.values()
    elif hasattr(value, "get_params") and not isinstance(value, type):
        yield value
        inner = vars(value).values()
    else:
        return
    if depth:
        for each in inner:
            yield from _parts(each, depth - 1)
