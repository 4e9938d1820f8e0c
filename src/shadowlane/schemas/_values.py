"""Features, predictions and rates: from what a service has at hand to the typed forms of the events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_LONG = range(-(2**63), 2**63)
#: What most features are, told apart at once: the hook sorts each feature of each request.
_KINDS: Mapping[type, str] = {float: "numbers", bool: "flags", str: "strings", type(None): "missing"}


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
        """Sort a plain mapping into the typed maps; None goes to `missing`.

        Raises:
            TypeError: a name is not text, or a value has no form in the event; it says which.
        """
        sorted_values: dict[str, Any] = {
            "numbers": {}, "integers": {}, "flags": {}, "strings": {}, "vectors": {}, "json": {},
        }  # fmt: skip
        missing = []
        for name, value in values.items():
            if not isinstance(name, str):
                raise TypeError(f"feature name {name!r} is not text")
            kind, plain = _sort(name, value)
            if kind == "missing":
                missing.append(name)
            else:
                sorted_values[kind][name] = plain
        return cls(**sorted_values, missing=missing)

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

        A float is a score; text, int or bool a label; a list of numbers a vector, of text a ranking;
        a mapping names the fields itself, as {"label": "benign", "score": 0.97}.

        Raises:
            TypeError: the value has no form as a prediction.
        """
        if isinstance(value, Prediction):
            return value
        value = _plain(value)
        if isinstance(value, float):
            return cls(score=value)
        if isinstance(value, (str, int)):
            return cls(label=label_text(value))
        if isinstance(value, (list, tuple)):
            return _sequence_prediction(value)
        if isinstance(value, Mapping):
            return _mapping_prediction(value)
        raise TypeError(f"a prediction cannot be {type(value).__name__}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRates:
    """The shares of requests that hooks publish: of all, and of those in a segment (`name=value`)."""

    rate: float
    segments: Mapping[str, float] = field(default_factory=dict)


def label_text(value: str | int) -> str:
    """A label as text: True is "true", 1 is "1"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _plain(value: object) -> object:
    """NumPy and pandas scalars and arrays become Python's own, with no import of either."""
    tolist = getattr(value, "tolist", None)
    return tolist() if callable(tolist) else value


def _sort(name: str, value: object) -> tuple[str, object]:
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind, value
    value = _plain(value)
    if value is None:
        return "missing", None
    if isinstance(value, bool):
        return "flags", value
    if isinstance(value, float):
        return "numbers", value
    if isinstance(value, int):
        return ("integers", value) if value in _LONG else ("json", str(value))
    if isinstance(value, str):
        return "strings", value
    if isinstance(value, (list, tuple)) and all(_is_number(item) for item in value):
        return "vectors", [float(item) for item in value]
    try:
        return "json", json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"feature {name!r}: a {type(value).__name__} cannot be sent ({error})") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sequence_prediction(values: Sequence[Any]) -> Prediction:
    if all(_is_number(value) for value in values):
        return Prediction(vector=[float(value) for value in values])
    if all(isinstance(value, str) for value in values):
        return Prediction(ranking=list(values))
    raise TypeError("a prediction that is a list holds numbers only (a vector) or text only (a ranking)")


def _mapping_prediction(values: Mapping[Any, Any]) -> Prediction:
    unknown = set(values) - set(Prediction.__slots__)
    if unknown:
        names = ", ".join(sorted(map(repr, unknown)))
        raise TypeError(f"a prediction has score, label, vector and ranking; not {names}")
    plain: dict[str, Any] = {name: _plain(value) for name, value in values.items() if value is not None}
    try:
        return Prediction(**{name: _FIELDS[name](value) for name, value in plain.items()})
    except (TypeError, ValueError) as error:
        raise TypeError(f"a prediction has score, label, vector and ranking ({error})") from None


def _ranking(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError("a ranking holds text only")
    return list(value)


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "score": float,
    "label": label_text,
    "vector": lambda values: [float(value) for value in values],
    "ranking": _ranking,
}
