"""The rules of a redaction at work: which fields one matches, and what it makes of a value."""

from __future__ import annotations

import hmac
import math
import re
from bisect import bisect_right
from collections.abc import Callable
from fnmatch import translate
from functools import partial
from typing import Any
from unicodedata import category, normalize

from shadowlane.settings import RedactionRule, Secret

#: Takes a plain value (text, number, flag or None) and returns another.
Action = Callable[[Any], Any]
#: In place of a value that does not leave the process.
GONE: Any = object()


class UnfitError(Exception):
    """An action meets a kind of value that it is not for; its text shows no value."""


def allow(value: Any) -> Any:
    """Leave the value as it is."""
    return value


def drop(_value: Any) -> Any:
    """Leave nothing of it."""
    return GONE


class Rule:
    """One rule, ready for use."""

    def __init__(self, rule: RedactionRule, key: Secret | None) -> None:
        self.action = _action(rule, key)
        self._fields = frozenset(map(_folded, rule.field))
        self._patterns = [re.compile(translate(_folded(glob))) for glob in rule.glob]
        # A name with a line break in it is a name all the same.
        self._patterns += [re.compile(regex, re.IGNORECASE | re.DOTALL) for regex in rule.regex]

    def matches(self, plain: list[str], folded: list[str]) -> bool:
        """Whether it matches a path or one above it, each given as it is and folded."""
        return not self._fields.isdisjoint(folded) or any(
            pattern.fullmatch(path) for pattern in self._patterns for path in (*plain, *folded)
        )

    def may_match_beneath(self, folded: str) -> bool:
        """Whether some path beneath this one may match; of a pattern that is hard to say."""
        return bool(self._patterns) or any(field.startswith(f"{folded}.") for field in self._fields)


def forms(path: str) -> tuple[list[str], list[str]]:
    """A path with those above it, as it is and folded."""
    return _with_those_above(path), _with_those_above(_folded(path))


def _with_those_above(path: str) -> list[str]:
    names = path.split(".")
    return [".".join(names[:end]) for end in range(1, len(names) + 1)]


def _folded(path: str) -> str:
    """How names are compared: without case, in one Unicode form, without characters that nobody sees."""
    if path.isascii():
        return path.lower()
    seen = "".join(character for character in path if category(character) != "Cf")
    return normalize("NFKC", normalize("NFKC", seen).casefold())


def _action(rule: RedactionRule, key: Secret | None) -> Action:
    """What a rule does to each value."""
    if rule.action == "hash" and key is not None:
        return partial(_hashed, hmac.new(key.reveal().encode(), digestmod="sha256"), rule.cut or None)
    if rule.action != "bucket":
        return allow if rule.action == "allow" else drop
    if rule.keep:
        return partial(_kept, rule.keep)
    return partial(_numbered, partial(_edge, rule.edges) if rule.edges else partial(_step, rule.width))


def _hashed(keyed: hmac.HMAC, cut: int | None, value: Any) -> str | None:
    if value is None:
        return None
    hashing = keyed.copy()  # half the time of beginning with the key anew
    hashing.update(_bytes(value))
    return hashing.hexdigest()[:cut]


def _bytes(value: Any) -> bytes:
    """What is hashed: the value as text, whole numbers as integers, so that 1, 1.0 and "1" are one id."""
    if isinstance(value, str):
        # A lone surrogate has no UTF-8, and is no reason to lose the request.
        return str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float) and not value.is_integer():
        return float.__repr__(value).encode()
    return int.__repr__(int(value)).encode()


def _kept(characters: int, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnfitError(f"keep is for text, not {type(value).__name__}: say width or edges")
    return str.__getitem__(value, slice(characters))


def _numbered(lower_edge: Callable[[float], float], value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnfitError(f"width and edges are for numbers, not {type(value).__name__}")
    if isinstance(value, int):
        return math.ceil(lower_edge(value))  # the least integer of the bucket
    return value if math.isnan(value) else float(lower_edge(value))


def _step(width: float, value: float) -> float:
    return value if abs(value) == math.inf else value // width * width


def _edge(edges: tuple[float, ...], value: float) -> float:
    return edges[max(0, bisect_right(edges, value) - 1)]
