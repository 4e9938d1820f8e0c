"""What of a request may leave its process: the table `[hook.redaction]`, its rules and its key."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from shadowlane.errors import SettingsError
from shadowlane.settings._secret import Secret
from shadowlane.settings._settings import TOP_LEVEL
from shadowlane.settings._sources import Document, Sources, check_names, nearest

#: What a field's path begins with; beneath the first three are names from data.
ROOTS = ("features", "segments", "context", "prediction", "entity_id", "request_id")
PREDICTION = ("score", "label", "vector", "ranking")
ACTIONS = ("allow", "drop", "hash", "bucket")
SELECTORS = ("field", "glob", "regex")
BUCKETS = ("width", "edges", "keep")
KEYS = ("otherwise", "rules", "key_file")
#: The parts of `[hook]`.
HOOK = ("redaction",)

_WILD = re.compile(r"[*?\[]")
_LITERAL_ROOT = re.compile(r"\^?([A-Za-z_]+)(\\\.|$)")
_SHORTEST_KEY = 16
_CUT = range(8, 65)
_NO_KEY = (
    'action = "hash" needs a key: put it in the environment as SHADOWLANE_REDACTION_KEY, or in a file '
    "that key_file or SHADOWLANE_REDACTION_KEY_FILE names (`openssl rand -hex 32` makes one)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionRule:
    """What becomes of some fields.

    Attributes:
        action: `allow`, `drop`, `hash` or `bucket`.
        field: Whole paths, such as `features.email`.
        glob: Patterns of paths with `*`, `?` and `[…]`.
        regex: Regular expressions that match a path from end to end.
        cut: How many hex digits of the hash to keep; 0 is all.
        width: How wide a bucket of numbers is.
        edges: Where buckets of numbers begin.
        keep: How many leading characters of text to keep.
    """

    action: str
    field: tuple[str, ...] = ()
    glob: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    cut: int = 0
    width: int | float = 0
    edges: tuple[int | float, ...] = ()
    keep: int = 0

    @classmethod
    def of(cls, value: object, where: str) -> Self:
        """Read one rule.

        Raises:
            SettingsError: it is none; the error names the rule and the key.
        """
        if not isinstance(value, Mapping):
            raise SettingsError(
                f'{where}: must be a table, such as {{field = "features.email", action = "drop"}}'
            )
        check_names(map(str, value), [each.name for each in fields(cls)], where)
        if value.get("action") not in ACTIONS:
            raise SettingsError(
                f"{where}: action must be one of {', '.join(ACTIONS)}, not {value.get('action')!r}"
            )
        _check_keys_fit(value, where)
        checked = {name: _CHECKS[name](value[name], f"{where}: {name}") for name in value if name != "action"}
        return cls(action=value["action"], **checked)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionSettings:
    """The rules of a hook, what becomes of a field that none of them names, and the key of its hashes."""

    rules: tuple[RedactionRule, ...] = ()
    otherwise: str = "allow"
    key: Secret | None = None
    where: str = "redaction"

    @classmethod
    def load(cls, *, config: str | Path | None = None, env: Mapping[str, str] = os.environ) -> Self | None:
        """Read `[hook.redaction]` of shadowlane.toml; None where the file has none."""
        document = Document.read(config, env)
        # A word that is misspelt here would publish what somebody meant to hide.
        check_names(document.data, TOP_LEVEL, str(document.path))
        hook = document.table("hook")
        check_names(hook, HOOK, f"{document.path}: [hook]")
        if "redaction" not in hook:
            return None
        return cls.of(hook["redaction"], env=env, file=document.path)

    @classmethod
    def of(
        cls,
        table: object,
        *,
        key: str | Secret | None = None,
        env: Mapping[str, str] = os.environ,
        file: Path | None = None,
    ) -> Self:
        """Read the rules from a mapping such as the table of the file.

        Raises:
            SettingsError: something in it is wrong; the error names the rule and the key.
        """
        where = f"{file}: [hook.redaction]" if file else "redaction"
        if not isinstance(table, Mapping):
            raise SettingsError(f"{where}: must be a table with rules, not {type(table).__name__}")
        if "key" in table:
            raise SettingsError(f"{where}: key: no place for a key, as others read this; {_NO_KEY}")
        check_names(map(str, table), KEYS, where)
        rules, otherwise = table.get("rules", ()), table.get("otherwise", "allow")
        if isinstance(rules, (str, Mapping)) or not isinstance(rules, Sequence):
            raise SettingsError(f"{where}: rules must be a list of tables")
        if otherwise not in ("allow", "drop"):
            raise SettingsError(f"{where}: otherwise must be allow or drop, not {otherwise!r}")
        read = tuple(_rule(rule, f"{where} rule {number}") for number, rule in enumerate(rules, 1))
        title = "[hook.redaction] " if file else ""
        sources = Sources({"key": key}, env, file or Path("redaction"), table, title, "redaction_")
        return cls(rules=read, otherwise=otherwise, key=_key(sources, read, where), where=where)


def _rule(value: object, where: str) -> RedactionRule:
    return value if isinstance(value, RedactionRule) else RedactionRule.of(value, where)


def _key(sources: Sources, rules: Sequence[RedactionRule], where: str) -> Secret | None:
    key = sources.secret("key")
    first = next((number for number, rule in enumerate(rules, 1) if rule.action == "hash"), None)
    if key is None and first is not None:
        raise SettingsError(f"{where} rule {first}: {_NO_KEY}")
    if key is not None and len(key.reveal().encode()) < _SHORTEST_KEY:
        raise SettingsError(f"{where}: the key must have {_SHORTEST_KEY} bytes at least")
    return key


def _check_keys_fit(rule: Mapping[str, object], where: str) -> None:
    """A rule says one way to choose fields, and what its action needs."""
    if len(rule.keys() & set(SELECTORS)) != 1:
        raise SettingsError(f"{where}: say one of field, glob and regex")
    sizes = [name for name in BUCKETS if name in rule]
    if rule["action"] == "bucket" and len(sizes) != 1:
        raise SettingsError(f'{where}: action = "bucket" needs one of width, edges and keep')
    if rule["action"] != "bucket" and sizes:
        raise SettingsError(f'{where}: {sizes[0]} goes with action = "bucket"')
    if rule["action"] != "hash" and "cut" in rule:
        raise SettingsError(f'{where}: cut goes with action = "hash"')


def _texts(value: object, where: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise SettingsError(f"{where} must be text, or a list of texts")
    return tuple(texts)


def _paths(value: object, where: str) -> tuple[str, ...]:
    for path in (paths := _texts(value, where)):
        root, dot, rest = path.partition(".")
        _check_root(root, f"{where} {path!r}")
        if (root.endswith("_id") and dot) or (dot and not rest):
            raise SettingsError(f"{where} {path!r}: there is nothing beneath {root}")
        if root == "prediction" and dot and rest not in PREDICTION:
            raise SettingsError(f"{where} {path!r}: a prediction has {', '.join(PREDICTION)}")
    return paths


def _globs(value: object, where: str) -> tuple[str, ...]:
    for glob in (globs := _texts(value, where)):
        root = glob.partition(".")[0]
        if not _WILD.search(root):
            _check_root(root, f"{where} {glob!r}")
    return globs


def _regexes(value: object, where: str) -> tuple[str, ...]:
    for regex in (regexes := _texts(value, where)):
        try:
            re.compile(regex)
        except re.error as error:
            raise SettingsError(f"{where} {regex!r}: {error}") from None
        if literal := _LITERAL_ROOT.match(regex):
            _check_root(literal[1], f"{where} {regex!r}")
    return regexes


def _check_root(root: str, where: str) -> None:
    if root.casefold() not in ROOTS:
        raise SettingsError(f"{where}: {root!r} is no part of a request; {nearest(root, ROOTS)}")


def _count(value: object, where: str) -> int:
    if type(value) is not int or value < 1:
        raise SettingsError(f"{where} must be a whole number from 1, not {value!r}")
    return value


def _cut(value: object, where: str) -> int:
    if type(value) is not int or value not in _CUT:
        raise SettingsError(f"{where} must be a number of hex digits, {_CUT[0]} to {_CUT[-1]}, not {value!r}")
    return value


def _number(value: object, where: str) -> int | float:
    """A number; a whole one as an integer, so that large integers keep all their digits."""
    is_endless = isinstance(value, float) and not math.isfinite(value)
    if is_endless or not isinstance(value, (int, float)) or isinstance(value, bool):
        raise SettingsError(f"{where} must be a number, not {value!r}")
    return int(value) if value == int(value) else value


def _width(value: object, where: str) -> int | float:
    width = _number(value, where)
    if width <= 0:
        raise SettingsError(f"{where} must be more than 0, not {value!r}")
    return width


def _edges(value: object, where: str) -> tuple[int | float, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise SettingsError(f"{where} must be a list of numbers")
    edges = tuple(_number(edge, where) for edge in value)
    if sorted(set(edges)) != list(edges):
        raise SettingsError(f"{where} must rise from one to the next, not {list(value)!r}")
    return edges


_CHECKS: Mapping[str, Any] = {
    "field": _paths,
    "glob": _globs,
    "regex": _regexes,
    "cut": _cut,
    "width": _width,
    "edges": _edges,
    "keep": _count,
}
