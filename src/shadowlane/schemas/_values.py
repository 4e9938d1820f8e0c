"""Features, predictions and rates: from what a service has at hand to the typed forms of the events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowlane.schemas._plain import EXACT, NoFormError, parts_of, read, unreadable

_LONG = range(-(2**63), 2**63)
_KINDS: Mapping[type, str] = {float: "numbers", bool: "flags", str: "strings", type(None): "missing"}
_TEXT: frozenset[type] = frozenset({str})
_NUMBERS: frozenset[type] = frozenset({int, float})
_ONLY_FLOATS = {float}
_SCORE: frozenset[type] = frozenset({float, type(None)})
_LABEL: frozenset[type] = frozenset({str, type(None)})
_MOST_NAMES_SHOWN = 5
_TOO_LONG = "an integer of thousands of digits cannot be sent"
_PREDICTION_FORMS = (
    "a float is a score; text, int or bool a label; a list of numbers a vector, of text a ranking; "
    "what has names says which"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """One request's features, by type."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    integers: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    strings: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    json: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Features:
        """Sort a mapping into the typed maps; a value that is not known (None, pandas' NA) is `missing`.

        Raises:
            NoFormError: a name is not text, or a value has no form in the event; it says which.
        """
        numbers: dict[str, float] = {}
        flags: dict[str, bool] = {}
        strings: dict[str, str] = {}
        integers: dict[str, int] = {}
        others: dict[str, dict[str, Any]] = {"vectors": {}, "json": {}}
        others |= {"numbers": numbers, "integers": integers, "flags": flags, "strings": strings}
        missing = []
        # What most features are is told apart at once: the hook sorts each feature of each request.
        places: dict[type, dict[str, Any]] = {float: numbers, bool: flags, str: strings}
        if not _TEXT.issuperset(map(type, values)):
            _check_names(values)
        for name, value in values.items():
            place = places.get(type(value))
            if place is not None:
                place[name] = value
            elif value is None:
                missing.append(name)
            elif type(value) is int and value in _LONG:
                integers[name] = value
            else:
                kind, sent = _sort(name, value)
                if kind == "missing":
                    missing.append(name)
                else:
                    others[kind][name] = sent
        return cls(**others, missing=missing)

    def to_dict(self) -> dict[str, Any]:
        """The plain mapping again: nested values parsed, missing ones as None."""
        return {
            **self.numbers,
            **self.integers,
            **self.flags,
            **self.strings,
            **self.vectors,
            **{name: json.loads(text) for name, text in self.json.items()},
            **dict.fromkeys(self.missing),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model answered: a score, a label (its confidence as score), a vector or a ranking."""

    score: float | None = None
    label: str | None = None
    vector: Sequence[float] | None = None
    ranking: Sequence[str] | None = None

    @classmethod
    def of(cls, value: object) -> Prediction:
        """Read a model's answer by its type.

        A float is a score; text, int or bool a label; a list of numbers a vector, of text a ranking. What
        has names says itself what it is: {"label": "benign", "score": 0.97}, or a dataclass, pydantic
        model or named tuple with such fields. An array of one dimension is a vector, also one of shape
        (1,), as `predict` gives for a single row: give its item for a score.

        Raises:
            NoFormError: the value has no form as a prediction.
        """
        if type(value) is float:
            return cls(score=value)
        if type(value) is str:
            return cls(label=value)
        if isinstance(value, Prediction):
            return _checked(value)
        try:
            plain = _answer(value)
            if isinstance(plain, float):
                return cls(score=plain)
            if isinstance(plain, (str, int)):
                return cls(label=_label(plain))
            if isinstance(plain, (list, tuple)):
                return _sequence_prediction(plain)
        except NoFormError as error:
            raise NoFormError(f"a prediction: {error}") from None
        if isinstance(plain, Mapping):
            return _mapping_prediction(plain)
        raise NoFormError(f"a prediction cannot be {type(value).__name__}: {_PREDICTION_FORMS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRates:
    """The shares of requests that hooks publish: of all, and of those in a segment (`name=value`)."""

    rate: float
    segments: Mapping[str, float] = field(default_factory=dict)


def label_text(value: str | float) -> str:
    """A label as text: True is "true", 1 is "1"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def as_mapping(what: str, values: object) -> Mapping[str, Any]:
    """What has names and values as a mapping of them; the values are left as they are.

    Raises:
        NoFormError: it has none.
    """
    if isinstance(values, Mapping):
        return values
    if isinstance(values, Features):
        return values.to_dict()
    kind = type(values)
    parts = parts_of(kind)
    if not parts and hasattr(kind, "tolist"):  # a Series; a DataFrame has no `tolist`
        parts = getattr(kind, "to_dict", None)
    try:
        found = parts(values) if parts else None
    except Exception as error:
        raise NoFormError(f"{what}: {unreadable(values, error)}") from None
    if isinstance(found, Mapping):
        return found
    row = " (a row is df.iloc[0])" if hasattr(kind, "iterrows") else ""
    raise NoFormError(
        f"{what} must be a mapping of names to values, a dataclass, a pydantic model, a named tuple "
        f"or a pandas Series, not {kind.__name__}{row}"
    )


def _check_names(values: Mapping[Any, Any]) -> None:
    for name in values:
        if not isinstance(name, str):
            raise NoFormError(f"the name of a feature must be text, not {type(name).__name__}")


def _sort(name: str, value: object) -> tuple[str, Any]:
    """In which map a feature goes, and as what."""
    try:
        value = read(value)
        if kind := _KINDS.get(type(value)):
            return kind, value
        if type(value) is int and value in _LONG:
            return "integers", value
        if isinstance(value, (list, tuple)) and (numbers := _numbers(value)) is not None:
            return "vectors", numbers
        return "json", _json(value)
    except NoFormError as error:
        raise NoFormError(f"feature {name!r}: {error}") from None


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """A vector, if numbers are all that it holds."""
    if values and type(values[0]) not in _NUMBERS:
        return None
    kinds = set(map(type, values))
    if kinds == _ONLY_FLOATS:
        return list(values)
    return _floats(values) if kinds <= _NUMBERS else None


def _floats(values: Iterable[Any]) -> list[float]:
    try:
        return list(map(float, values))
    except OverflowError:
        raise NoFormError("an integer is too large for a float") from None


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # Python's own limit; all else is known to have a form
        raise NoFormError(_TOO_LONG) from None


def _checked(prediction: Prediction) -> Prediction:
    """A prediction whose fields hold what they should, whoever made it."""
    has_lists = prediction.vector is not None or prediction.ranking is not None
    if not has_lists and type(prediction.score) in _SCORE and type(prediction.label) in _LABEL:
        return prediction
    return _mapping_prediction({name: getattr(prediction, name) for name in _FIELDS})


def _answer(value: object) -> Any:
    """What a model answered, made Python's own; of a mapping only the outside."""
    plain = read(value, deep=False)
    if isinstance(plain, (set, frozenset)):
        raise NoFormError("a set has no order: give a list")
    return read(plain) if isinstance(plain, (list, tuple)) else plain


def _sequence_prediction(values: Sequence[Any]) -> Prediction:
    if (vector := _numbers(values)) is not None:
        return Prediction(vector=vector)
    if _TEXT.issuperset(map(type, values)):
        return Prediction(ranking=list(values))
    raise NoFormError(
        "a prediction that is a list holds numbers only (a vector) or text only (a ranking); "
        "of a batch's answers (a list of lists) one request's is answer[0]"
    )


def _mapping_prediction(values: Mapping[Any, Any]) -> Prediction:
    fields = {}
    for name, value in values.items():
        if name not in _FIELDS:
            raise NoFormError(f"a prediction has score, label, vector and ranking; not {_unknown(values)}")
        try:
            plain = value if type(value) in EXACT else _answer(value)
            fields[name] = None if plain is None else _FIELDS[name](plain)
        except NoFormError as error:
            raise NoFormError(f"a prediction's {name}: {error}") from None
    return Prediction(**fields)


def _unknown(values: Mapping[Any, Any]) -> str:
    """The names that no prediction has; a model's hundreds of classes need not all be said."""
    names = sorted(
        repr(name) if isinstance(name, str) else f"a name of type {type(name).__name__}"
        for name in values
        if name not in _FIELDS
    )
    more = len(names) - _MOST_NAMES_SHOWN
    return ", ".join(names[:_MOST_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _score(value: Any) -> float:
    if type(value) not in _NUMBERS:
        raise NoFormError(f"a {type(value).__name__} is no number")
    return _floats([value])[0]


def _label(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise NoFormError(f"a {type(value).__name__} is neither text nor a number")
    try:
        return label_text(value)
    except ValueError:  # Python's own limit
        raise NoFormError(_TOO_LONG) from None


def _vector(value: Any) -> list[float]:
    numbers = _numbers(value) if isinstance(value, (list, tuple)) else None
    if numbers is None:
        raise NoFormError(f"a vector is a list of numbers only{_found(value)}")
    return numbers


def _ranking(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not _TEXT.issuperset(map(type, value)):
        raise NoFormError(f"a ranking holds text only, in a list{_found(value)}")
    return list(value)


def _found(value: Any) -> str:
    return "" if isinstance(value, (list, tuple)) else f"; this is a {type(value).__name__}"


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "score": _score,
    "label": _label,
    "vector": _vector,
    "ranking": _ranking,
}
