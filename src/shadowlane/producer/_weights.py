"""About how many bytes of memory a waiting item takes: cheap rather than exact, and rather too much."""

from __future__ import annotations

from sys import getsizeof
from typing import Any

from shadowlane.producer._encode import Deferred, Observation, Result

# What any item takes: its tuple, its times, its ids' and its containers' own.
_FIXED = 500
_NUMBERS = frozenset({bool, int, float, type(None)})
_NUMBER = 24


def weight(item: Observation | Deferred | Result) -> int:
    """The bytes of one item, with all it holds on to.

    What has no form in an event is held until it is refused, and may be any object: one that cannot say
    what it takes (a mock, which has every attribute) counts as nothing.
    """
    if isinstance(item, Deferred):
        return _FIXED + item.size
    held = _fields(item.event) if isinstance(item, Result) else item
    try:
        return _FIXED + sum(map(_weight, held))
    except Exception:
        return _FIXED


def _weight(value: Any) -> int:
    kind = type(value)
    if kind in _NUMBERS:
        return _NUMBER
    if kind is str:
        return getsizeof(value)
    if isinstance(value, dict):
        return getsizeof(value) + sum(map(_weight, value.values())) + sum(map(getsizeof, value))
    if isinstance(value, (list, tuple, frozenset)):
        if _NUMBERS.issuperset(map(type, value)):
            return getsizeof(value) + len(value) * _NUMBER
        return getsizeof(value) + sum(map(_weight, value))
    if hasattr(kind, "__slots__") and hasattr(kind, "__dataclass_fields__"):
        return sum(map(_weight, _fields(value)))
    # Of an array that only refers to its memory, Python knows the reference's size.
    return max(getsizeof(value), getattr(value, "nbytes", 0))


def _fields(event: Any) -> list[Any]:
    return [getattr(event, name) for name in event.__slots__]
