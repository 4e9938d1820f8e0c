"""What a service has at hand, made Python's own, with no import of NumPy, pandas or pydantic.

Only types are asked what they are, never values: a mock or a proxy has every attribute.
No error text holds a value, neither ours nor that of the code that a value brings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import chain
from typing import Any
from uuid import UUID

Step = Callable[[Any], Any]

#: Python's own already.
EXACT = frozenset({bool, int, float, str, type(None)})
_CONTAINERS = frozenset({list, tuple, dict})
_PLAIN = EXACT | _CONTAINERS
_STEPS: Mapping[type, Step] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    date: lambda value: value.isoformat(),  # a datetime is a date
    time: lambda value: value.isoformat(),
    timedelta: lambda value: value.total_seconds(),
    Decimal: float,
    UUID: str,
}
#: Scalars with a form in Python, told apart by name: most features of some services are such.
_NUMPY_IN_ONE_STEP = ("bool", "int", "uint", "float")
#: What datetime has no form for: `tolist` would give bare integers.
_FINER_THAN_DATETIME = ("[ns]", "[ps]", "[fs]", "[as]")


class NoFormError(TypeError):
    """A value has no form in an event; the text says why, and holds nothing of the value."""


def read(value: object, *, deep: bool = True) -> Any:
    """A value made Python's own, by default with all that is in it.

    Raises:
        NoFormError: it cannot be.
    """
    try:
        value = plain(value)
        return _deep(value) if deep and type(value) not in EXACT else value
    except NoFormError:
        raise
    except Exception as error:
        raise unreadable(value, error) from None


def unreadable(value: object, error: Exception) -> NoFormError:
    """What to raise where others' code does; the text of its error may well be the value."""
    kind = type(value).__name__
    return NoFormError(f"a value of type {kind} cannot be sent (reading it: {type(error).__name__})")


def plain(value: Any) -> Any:
    """A value made Python's own; what is in a list or mapping is left as it is."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    step = _step(kind)  # type: ignore[arg-type]  # a type can be hashed
    return step(value) if step else value


def parts_of(kind: type) -> Step | None:
    """What takes dataclasses, pydantic models and named tuples of a type to their fields; None for others."""
    if issubclass(kind, tuple):
        return _named if hasattr(kind, "_fields") else None
    if callable(getattr(kind, "model_dump", None)):
        # Of all that it could warn of, nothing is the service's concern here.
        return lambda value: value.model_dump(warnings=False)
    if dataclasses.is_dataclass(kind):
        return _fields
    if hasattr(kind, "__fields__") and callable(getattr(kind, "dict", None)):  # pydantic 1
        return lambda value: value.dict()
    return None


@lru_cache(maxsize=512)
def _step(kind: type) -> Step | None:
    """What makes a type's values Python's own, where there is such a thing."""
    if issubclass(kind, Enum):
        return lambda value: plain(value.value)
    if kind.__name__ in {"NAType", "NaTType"} and kind.__module__.partition(".")[0] == "pandas":
        return lambda _: None
    for base, step in _STEPS.items():
        if issubclass(kind, base):
            return step
    if parts := parts_of(kind):
        return lambda value: plain(parts(value))
    if not callable(getattr(kind, "tolist", None)):
        return None
    if kind.__module__ == "numpy" and kind.__name__.startswith(_NUMPY_IN_ONE_STEP):
        return getattr(kind, "tolist", None)
    return _numpys if kind.__module__.partition(".")[0] == "numpy" else lambda value: value.tolist()


def _named(value: Any) -> dict[str, Any]:
    return dict(zip(value._fields, value, strict=True))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _numpys(value: Any) -> Any:
    """NumPy's own scalars and arrays; long doubles and short times first become what Python has."""
    kind = value.dtype
    if kind.names:  # a record, or an array of them: `tolist` would leave out the names
        return list(value) if value.shape else {name: value[name] for name in kind.names}
    if kind.char == "g":
        value = value.astype("f8")
    elif kind.kind in "mM" and kind.str.endswith(_FINER_THAN_DATETIME):
        value = value.astype(f"{kind.kind}8[us]")
    value = value.tolist()
    return value if type(value) in _CONTAINERS else plain(value)


def _deep(value: Any) -> Any:
    if type(value) not in _CONTAINERS:
        value = plain(value)
        if type(value) in EXACT:
            return value
    if isinstance(value, (list, tuple)):
        # A pass in C finds out that there is nothing more to do, which is the usual case.
        if EXACT.issuperset(map(type, value)):
            return value
        return [each if type(each) in EXACT else _deep(each) for each in value]
    if isinstance(value, (dict, Mapping)):
        return {
            name if type(name) is str else _name(name): each if type(each) in EXACT else _deep(each)
            for name, each in value.items()
        }
    if isinstance(value, (set, frozenset)):
        return _sorted([_deep(each) for each in value])
    raise NoFormError(f"a value of type {type(value).__name__} cannot be sent{_advice(value)}")


def _sorted(values: list[Any]) -> list[Any]:
    """A set has no order that another process would have, too: it gets one."""
    kinds = set(map(type, values))
    if kinds <= {str} or kinds <= {int, float}:
        return sorted(values)
    raise NoFormError("a set cannot be sent unless it holds text only or numbers only: give a list")


def _name(name: Any) -> Any:
    """The name of a nested value; what JSON itself makes text of may stay."""
    name = plain(name)
    if type(name) in EXACT:
        return name
    raise NoFormError(f"a mapping with names of type {type(name).__name__} cannot be sent: make them text")


def _advice(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return ": decode it to text, or leave it out"
    if hasattr(type(value), "iterrows"):
        return ": give a row (df.iloc[0]) or a column"
    return ": give numbers, text, lists or mappings of them, or leave it out"


def not_unicode(record: Mapping[str, Any], error: UnicodeEncodeError, names: int = 3) -> NoFormError:
    """What to raise where a text in a record could not be encoded: says where it is, and nothing of it.

    Args:
        record: What was to be encoded.
        error: What came of it.
        names: How many names one inside the other may be said; those further in may be data.
    """
    where = _where_not_unicode(record, "", names) or "a text"
    return NoFormError(f"{where} is no Unicode ({error.reason}): decode bytes with errors='replace'")


def _where_not_unicode(value: Any, path: str, names: int) -> str | None:
    if isinstance(value, str):
        return path if any("\ud800" <= each <= "\udfff" for each in value) else None
    inside: Iterable[tuple[Any, str]] = ()
    if isinstance(value, Mapping):
        inside = chain(
            ((name, f"a name in {path}") for name in value),
            ((each, f"{path}.{name}".lstrip(".") if names > 0 else path) for name, each in value.items()),
        )
    elif isinstance(value, (list, tuple)):
        inside = ((each, path) for each in value)
    return next(filter(None, (_where_not_unicode(each, at, names - 1) for each, at in inside)), None)
