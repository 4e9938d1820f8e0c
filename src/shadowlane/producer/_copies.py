"""Copies made in the caller's thread: what is published is what was there at the call."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from shadowlane.schemas import Prediction

# Types whose values cannot change. NumPy's scalar types join when first met, with no import of NumPy.
_IMMUTABLE: set[type] = {bool, int, float, str, type(None)}


def copied_mapping(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of features or the like, nested containers and arrays included.

    Raises:
        TypeError: it is no mapping.
    """
    if type(values) is not dict and not isinstance(values, Mapping):
        raise TypeError(f"{what} must be a mapping of names to values, not {type(values).__name__}")
    copies = dict(values)
    # One pass in C finds out that there is nothing more to do, which is the usual case.
    if not _IMMUTABLE.issuperset(map(type, copies.values())):
        for name, value in copies.items():
            copies[name] = copied(value)
    return copies


def copied(value: Any) -> Any:
    """A copy that later changes do not reach; what has no form in an event anyway stays as it is."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if isinstance(value, (list, tuple)):
        return list(value) if _IMMUTABLE.issuperset(map(type, value)) else [copied(each) for each in value]
    if isinstance(value, dict):
        return {name: copied(each) for name, each in value.items()}
    if isinstance(value, Prediction):
        return Prediction(**{name: copied(getattr(value, name)) for name in Prediction.__slots__})
    if _is_numpy_scalar(kind):
        _IMMUTABLE.add(kind)
        return value
    return _copied_array(value) if callable(getattr(value, "tolist", None)) else value


def _copied_array(value: Any) -> Any:
    """Memory to memory where an array holds plain numbers; through lists where it may hold objects."""
    has_object = getattr(getattr(value, "dtype", None), "hasobject", True)
    return copied(value.tolist()) if has_object else copy.copy(value)


def _is_numpy_scalar(kind: type) -> bool:
    return any(base.__name__ == "generic" and base.__module__ == "numpy" for base in kind.__mro__)
