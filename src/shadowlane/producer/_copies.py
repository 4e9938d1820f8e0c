"""Copies made in the caller's thread: what is published is what was there at the call."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from shadowlane.schemas import NoFormError, Prediction, as_mapping, plain_value

# Types whose values cannot change. NumPy's scalar types join when first met, with no import of NumPy.
_FIXED: set[type] = {bool, int, float, str, type(None), Decimal, UUID, date, datetime, time, timedelta}


def copied_mapping(what: str, values: Any) -> dict[str, Any]:
    """A copy of features or the like, nested containers and arrays included.

    Raises:
        TypeError: it has no names and values.
    """
    copies = dict(values if type(values) is dict else as_mapping(what, values))
    # One pass in C finds out that there is nothing more to do, which is the usual case.
    return copies if _FIXED.issuperset(map(type, copies.values())) else _copied_dict(what, copies)


def copied(value: Any) -> Any:
    """A copy that later changes do not reach; what has no form in an event stays as it is."""
    kind = type(value)
    if kind in _FIXED:
        return value
    if kind is list or kind is tuple:
        return _copied_list(value)
    if isinstance(value, (dict, Mapping)):
        # As it is at one moment: another thread may add to it meanwhile.
        return {name: copied(each) for name, each in dict(value).items()}
    if isinstance(value, Prediction):
        return Prediction(**{name: copied(getattr(value, name)) for name in Prediction.__slots__})
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    if _is_numpy_scalar(kind):
        _FIXED.add(kind)
        return value
    if _is_numpy_array(kind) and not value.dtype.hasobject:
        return copy.copy(value)
    # Others' arrays become lists: a copy of a Series may share its memory, a tensor's lies on its device.
    plain = plain_value(value, deep=False)
    if plain is not value:
        return copied(plain)
    return _copied_list(value) if isinstance(value, (list, tuple)) else value


def _copied_list(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    return list(values) if _FIXED.issuperset(map(type, values)) else [copied(each) for each in values]


def _copied_dict(what: str, values: Mapping[Any, Any]) -> dict[Any, Any]:
    copies = {}
    for name, value in values.items():
        try:
            copies[name] = copied(value)
        except NoFormError as error:
            raise NoFormError(f"{what} {name if type(name) is str else type(name)!r}: {error}") from None
    return copies


def _is_numpy_array(kind: type) -> bool:
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy"


def _is_numpy_scalar(kind: type) -> bool:
    """Whether it is a scalar type of NumPy's that cannot change; a `void` refers to its array."""
    bases = {base.__name__ for base in kind.__mro__ if base.__module__ == "numpy"}
    return "generic" in bases and "void" not in bases
