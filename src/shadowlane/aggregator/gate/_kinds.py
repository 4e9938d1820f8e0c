"""What a criterion's value may be: each kind refuses what it is not, and says what may have been meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowlane.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: what is said of it, and what reads a value, or gives None where it is none."""

    wanted: str
    read: Callable[[Any], Any]
    guess: Callable[[Any], Any]


def criterion(kind: Kind, default: Any = None, example: Any = None) -> Any:
    """A field of a policy: its kind, its default (None: not asked for), and an example where that is None."""
    return field(default=default, metadata={"kind": kind, "example": default if example is None else example})


def read(kind: Kind, path: str, value: Any, example: Any) -> Any:
    """The value as it is kept.

    Raises:
        SettingsError: it is not of this kind; the error names it, and the nearest right one.
    """
    found = kind.read(value)
    if found is None:
        guess = kind.guess(value)
        hint = f", such as {toml(example)}" if guess is None else f"; did you mean {toml(guess)}?"
        number = math.isfinite(_number(value))
        wanted = kind.wanted if number or kind in (FLAG, NAME, NAMES) else "a number"
        raise SettingsError(f"{path} = {value!r}: {wanted} is wanted{hint}")
    return found


def toml(value: Any) -> str:
    """A value as a policy's file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml, value))}]"
    return str(value) if isinstance(value, int) else f"{value:g}"


def _number(value: Any) -> float:
    """A number, or NaN: a flag is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number and math.isfinite(value) else math.nan
    except OverflowError:  # a whole number of more digits than a float has
        return math.nan


def _meant(value: Any) -> float:
    """The number that a text may mean: 95 of "95 %", 10000 of "10_000"; else NaN."""
    if isinstance(value, bool):
        return math.nan
    try:
        number = float(str(value).strip().removesuffix("%").replace(",", "").replace("_", ""))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) and number >= 0 else math.nan


def _is_percent(value: Any) -> bool:
    return str(value).strip().endswith("%") or _meant(value) > 1


def _read_number(value: Any) -> float | None:
    number = _number(value)
    return None if math.isnan(number) else number


def _read_count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number >= 1 and number == int(number) else None


def _guess_count(value: Any) -> int | None:
    number = _meant(value)
    return None if math.isnan(number) else max(1, round(number))


def _read_share(value: Any) -> float | None:
    number = _number(value)
    return number if 0 <= number <= 1 else None


def _guess_share(value: Any) -> float | None:
    number = _meant(value)
    if math.isnan(number):
        return None
    return min(number / 100, 1.0) if _is_percent(value) else number


def _read_level(value: Any) -> float | None:
    number = _number(value)
    return number if 0.5 <= number < 1 else None  # noqa: PLR2004 - a coin's toss is no confidence


def _guess_level(value: Any) -> float | None:
    share = _guess_share(value)
    return None if share is None else _read_level(share)


def _read_amount(value: Any) -> float | None:
    number = _number(value)
    return number if number >= 0 else None


def _guess_amount(value: Any) -> float | None:
    number = _meant(value)
    return None if math.isnan(number) else number


def _read_ratio(value: Any) -> float | None:
    return _read_amount(value) or None


def _guess_ratio(value: Any) -> float | None:
    number = _meant(value)
    if math.isnan(number) or not number:
        return None
    return number / 100 if str(value).strip().endswith("%") else number


def _read_flag(value: Any) -> bool | None:
    return True if value is True else None


def _guess_flag(value: Any) -> bool | None:
    return True if str(value).strip().lower() in {"true", "yes", "on", "1"} else None


def _read_name(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _guess_name(value: Any) -> str | None:
    return value[0] if isinstance(value, list) and len(value) == 1 and _read_name(value[0]) else None


def _read_names(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple) or not value or not all(map(_read_name, value)):
        return None
    return tuple(value) if len({*value}) == len(value) else None


def _guess_names(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return [value] if value.strip() else None
    names = list(dict.fromkeys(filter(_read_name, value))) if isinstance(value, list) else []
    return names or None


NUMBER = Kind("a number", _read_number, lambda value: _read_number(_meant(value)))
COUNT = Kind("a whole number from 1", _read_count, _guess_count)
SHARE = Kind("a share from 0 to 1", _read_share, _guess_share)
LEVEL = Kind("a share from 0.5 to below 1", _read_level, _guess_level)
AMOUNT = Kind("0 or more", _read_amount, _guess_amount)
RATIO = Kind("a number above 0", _read_ratio, _guess_ratio)
FLAG = Kind("true (or no such line)", _read_flag, _guess_flag)
NAME = Kind("a name in quotes", _read_name, _guess_name)
NAMES = Kind("a list of different names", _read_names, _guess_names)
