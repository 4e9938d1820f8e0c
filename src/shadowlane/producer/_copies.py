"""Copies made in the caller's thread: what is published is what was there at the call."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from shadowlane.schemas import Prediction, as_mapping, parts_of

# Types whose values cannot change. NumPy's scalar types join when first met, with no import of NumPy.
_FIXED: set[type] = {bool, int, float, str, type(None), Decimal, UUID, date, datetime, time, timedelta}


def copied_mapping(what: str, values: Any) -> dict[str, Any]:
    """A copy of features or the like, nested containers and arrays included.

    Raises:
        TypeError: it has no names and values.
    """
    copies = dict(values if type(values) is dict else as_mapping(what, values))
    # One pass in C finds out that there is nothing more to do, which is the usual case.
    return copies if _FIXED.issuperset(map(type, copies.values())) else _copied_dict(copies)


def copied(value: Any) -> Any:
    """A copy that later changes do not reach; what has no form in an event stays as it is."""
    kind = type(value)
    if kind in _FIXED:
        return value
    if kind is list or kind is tuple:
        return _copied_list(value)
    if isinstance(value, (dict, Mapping)):
        return _copied_dict(value)
    if isinstance(value, Prediction):
        return Prediction(**{name: copied(getattr(value, name)) for name in Prediction.__slots__})
    if _is_numpy_scalar(kind):
        _FIXED.add(kind)
        return value
    if parts := parts_of(kind):
        return copied(parts(value))
    if isinstance(value, (list, tuple)):
        return _copied_list(value)
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    if callable(getattr(kind, "tolist", None)):
        return _copied_array(value, kind)
    return value


def _copied_list(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    return list(values) if _FIXED.issuperset(map(type, values)) else [copied(each) for each in values]


def _copied_dict(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: copied(value) for name, value in values.items()}


def _copied_array(value: Any, kind: type) -> Any:
    """Memory to memory for NumPy's own arrays of numbers; all else through lists.

    A copy of a Series may share its memory, one of a tensor may hold that of an accelerator, and one of
    an array of objects holds the same objects.
    """
    is_numpys = (kind.__module__, kind.__name__) == ("numpy", "ndarray")
    return copy.copy(value) if is_numpys and not value.dtype.hasobject else copied(value.tolist())


def _is_numpy_scalar(kind: type) -> bool:
    """Whether it is a scalar type of NumPy's that cannot change; a `void` refers to its array."""
    bases = {base.__name__ for base in kind.__mro__ if base.__module__ == "numpy"}
    return "generic" in bases and "void" not in bases
