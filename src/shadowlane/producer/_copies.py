"""Copies made in the caller's thread, each with about the bytes it takes.

What is published is what was there at the call. The sizes are cheap rather than exact: numbers count
alike, and the names of features as if they were short.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from sys import getsizeof
from typing import Any

from shadowlane.schemas import Prediction

# Types whose values cannot change and are small. NumPy's scalar types join when first met, with no
# import of NumPy.
_NUMBERS: set[type] = {bool, int, float, type(None)}
_TEXT = frozenset({str})

# The bytes of a number in a list, of what a mapping needs for an entry with its name and a number, and
# of a text in a list besides its characters.
_NUMBER, _ENTRY, _TEXT_BESIDES = 32, 120, 57
# From so many characters on it matters that some take four bytes, and asking for it is worth its time.
_LONG = 64


def copied_mapping(what: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """A copy of features or the like, nested containers and arrays included, and its size.

    Raises:
        TypeError: it is no mapping.
    """
    if type(values) is not dict and not isinstance(values, Mapping):
        raise TypeError(f"{what} must be a mapping of names to values, not {type(values).__name__}")
    copies = dict(values)
    size = len(copies) * _ENTRY
    # One short pass finds out that there is nothing more to do, which is the usual case.
    for value in copies.values():
        kind = type(value)
        if kind is str:
            length = len(value)
            size += length if length < _LONG else getsizeof(value)
        elif kind not in _NUMBERS:
            return _copied_dict(copies)
    return copies, size


def copied(value: Any) -> tuple[Any, int]:
    """A copy that later changes do not reach, and its size; what has no form in an event stays as it is."""
    kind = type(value)
    if kind is str:
        return value, getsizeof(value)
    if kind in _NUMBERS:
        return value, _NUMBER
    if isinstance(value, (list, tuple)):
        return _copied_list(value)
    if isinstance(value, dict):
        copies, size = _copied_dict(value)
        return copies, size + sum(map(getsizeof, copies))
    if isinstance(value, Prediction):
        fields, size = _copied_dict({name: getattr(value, name) for name in Prediction.__slots__})
        return Prediction(**fields), size
    if _is_numpy_number(kind):
        _NUMBERS.add(kind)
        return value, _NUMBER
    if callable(getattr(value, "tolist", None)):
        return _copied_array(value)
    return value, getsizeof(value)


def _copied_dict(values: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    copies, size = {}, len(values) * _ENTRY
    for name, value in values.items():
        copies[name], more = copied(value)
        size += more
    return copies, size


def _copied_list(values: list[Any] | tuple[Any, ...]) -> tuple[list[Any], int]:
    # Passes in C find out that there is nothing more to do, which is the usual case.
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return list(values), len(values) * _NUMBER
    if kinds == _TEXT:
        # Asking each text for its size takes three times as long.
        return list(values), len(values) * _TEXT_BESIDES + getsizeof("".join(values))
    copies, size = [], 0
    for value in values:
        one, more = copied(value)
        copies.append(one)
        size += more
    return copies, size + 8 * len(copies)


def _copied_array(value: Any) -> tuple[Any, int]:
    """Memory to memory where an array holds plain numbers; through lists where it may hold objects."""
    if getattr(getattr(value, "dtype", None), "hasobject", True):
        return copied(value.tolist())
    array = copy.copy(value)
    # Of an array that only refers to its memory, Python knows the reference's size.
    return array, max(getsizeof(array), getattr(array, "nbytes", 0))


def _is_numpy_number(kind: type) -> bool:
    """Whether it is a scalar type of NumPy's; its texts, which may be long, are no numbers."""
    return not issubclass(kind, (str, bytes)) and any(
        base.__name__ == "generic" and base.__module__ == "numpy" for base in kind.__mro__
    )
