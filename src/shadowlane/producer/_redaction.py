"""Redaction: what of a request leaves the process, decided field by field before it is encoded.

A field's path is its names joined with dots: `features.customer.email`, `segments.country`, `entity_id`.
The elements of a list have the list's path. The first rule that matches a path, or one above it, decides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import category, normalize

from shadowlane.errors import NotEncodableError, SettingsError
from shadowlane.producer._encode import Observation
from shadowlane.producer._redaction_actions import GONE, Action, UnfitError, action_of, allow, drop
from shadowlane.schemas import Prediction
from shadowlane.settings import RedactionRule, RedactionSettings, Secret

# Names come from data: what is remembered of them has an end.
_MOST_PATHS = 4096
_LONGEST_PATH = 512
_MOST_HELD = 1_000_000
_SCALARS = frozenset({str, int, float, bool, type(None)})
_TEXTS = ("entity_id", "request_id", "prediction.label", "prediction.ranking")
_NUMBERS = ("prediction.score", "prediction.vector")
_FIXED = _TEXTS + _NUMBERS
#: The parts of a request whose names come from data.
_ROOTS = ("features", "segments", "context")
_NAMED = tuple(map(Observation._fields.index, _ROOTS))

#: Of the names of one mapping: those whose plain values do not pass as they are.
_Plan = list[tuple[Any, str, Action]]


class Redaction:
    """What of a request leaves the process: each field allowed, dropped, hashed or put into a bucket.

    Args:
        rules: The rules, as in `[[hook.redaction.rules]]` of shadowlane.toml; of those that match a
            field the first decides.
        otherwise: What becomes of a field that no rule matches: `allow`, or `drop` for an allow list.
        key: The key of hashes; else from SHADOWLANE_REDACTION_KEY or the file that
            SHADOWLANE_REDACTION_KEY_FILE names.

    Raises:
        SettingsError: a rule is wrong, or there is no key; the error names the rule and the key.
    """

    def __init__(
        self,
        rules: Sequence[RedactionRule | Mapping[str, Any]] = (),
        *,
        otherwise: str = "allow",
        key: str | Secret | None = None,
    ) -> None:
        self._begin(RedactionSettings.of({"rules": rules, "otherwise": otherwise}, key=key))

    @classmethod
    def of(cls, value: object) -> Redaction | None:
        """A redaction as it is, or from a mapping such as `[hook.redaction]`; None is none."""
        if value is None or isinstance(value, Redaction):
            return value
        settings = value if isinstance(value, RedactionSettings) else RedactionSettings.of(value)
        return _restored(cls, settings)

    @classmethod
    def load(
        cls, *, config: str | Path | None = None, env: Mapping[str, str] = os.environ
    ) -> Redaction | None:
        """What `[hook.redaction]` of shadowlane.toml says; None where it says nothing."""
        return cls.of(RedactionSettings.load(config=config, env=env))

    def __repr__(self) -> str:
        return f"Redaction({len(self._rules)} rules, otherwise={self._settings.otherwise!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._settings)

    def apply(self, observation: Observation) -> Observation:
        """The same request without what must not leave; the request itself stays as it was.

        Raises:
            NotEncodableError: a value's kind does not fit its rule, or cannot be looked into.
            Exception: whatever a foreign value raises when it is asked for its content.
        """
        if self._passes_all:
            return observation
        fields: list[Any] = list(observation)
        for index in _NAMED:
            if values := fields[index]:
                fields[index] = self._names(values, Observation._fields[index])
        for index, root in self._fixed:
            if (value := fields[index]) is not None:
                new = self._predicted(value) if root == "prediction" else self._redacted(value, root)
                fields[index] = None if new is GONE else new
        return Observation._make(fields)

    def _begin(self, settings: RedactionSettings) -> None:
        self._settings = settings
        self._rules = [_Rule(rule, action_of(rule, settings.key)) for rule in settings.rules]
        self._otherwise = allow if settings.otherwise == "allow" else drop
        self._decisions: dict[str, _Decision] = {}
        self._plans: dict[tuple[str, tuple[Any, ...]], _Plan] = {}
        self._held = 0
        self._passes_all = self._otherwise is allow and all(rule.action is allow for rule in self._rules)
        self._check_kinds()
        self._fixed = [
            (Observation._fields.index(root), root)
            for root in ("entity_id", "request_id", "prediction")
            if any(self._decide(path).action is not allow for path in _FIXED if path.startswith(root))
        ]

    def _check_kinds(self) -> None:
        """A rule whose action does not fit a field that each request has is wrong for all of them."""
        for path in _FIXED:
            number = self._first_match(*_forms(path))
            if number is None:
                continue
            rule, where = self._settings.rules[number], f"{self._settings.where} rule {number + 1}"
            if path in _NUMBERS and (rule.action == "hash" or rule.keep):
                what = "a hash is text" if rule.action == "hash" else "keep is for text"
                raise SettingsError(
                    f"{where}: {what}, and {path} is a number; drop it, or use width or edges"
                )
            if path in _TEXTS and (rule.width or rule.edges):
                raise SettingsError(f"{where}: width and edges are for numbers, and {path} is text")
            if path == "request_id" and rule.action == "bucket":
                raise SettingsError(f"{where}: in a bucket, many requests would have one request_id; hash it")

    def _names(self, values: Mapping[Any, Any], root: str) -> Mapping[Any, Any]:
        """The values under names from data; the same object where nothing changes."""
        shape = root, tuple(values)
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._make_plan(shape)
        all_plain = _SCALARS.issuperset(map(type, values.values()))
        if all_plain and not plan:
            return values
        redacted = dict(values)
        for name, path, action in plan:
            if type(value := values[name]) in _SCALARS:
                _put(redacted, name, _done(action, value, path))
        if not all_plain:
            for name, value in values.items():
                if type(value) not in _SCALARS:
                    inner = self._path(root, name)
                    _put(redacted, name, GONE if inner is None else self._redacted(value, inner))
        return redacted

    def _make_plan(self, shape: tuple[str, tuple[Any, ...]]) -> _Plan:
        root, names = shape
        plan: _Plan = []
        for name in names:
            path = self._path(root, name)
            action = drop if path is None else self._decide(path).action
            if action is not allow:
                plan.append((name, path or root, action))
        size = 1 + sum(len(name) for name in names if isinstance(name, str))
        if size <= _MOST_HELD:
            self._held += size
            if self._held > _MOST_HELD:
                self._plans.clear()
                self._held = size
            self._plans[shape] = plan
        return plan

    def _predicted(self, value: Any) -> Any:
        prediction, fields = Prediction.of(value), {}
        for name in Prediction.__slots__:
            each = getattr(prediction, name)
            if each is not None and (new := self._redacted(each, f"prediction.{name}")) is not GONE:
                fields[name] = new
        return Prediction(**fields) if fields else GONE

    def _redacted(self, value: Any, path: str) -> Any:
        """A value as its path's decision has it; GONE where nothing of it is left."""
        decision = self._decisions.get(path) or self._remember(path)
        action = decision.action
        if type(value) in _SCALARS:
            return _done(action, value, path)
        if decision.reaches_down and action in (allow, drop):
            return value if action is allow else GONE
        if action is allow and getattr(getattr(value, "dtype", None), "hasobject", True) is False:
            return value  # an array of numbers has no names in it
        tolist = getattr(value, "tolist", None)
        if callable(tolist):
            value = tolist()
        if isinstance(value, Mapping):
            return self._redacted_mapping(value, path, action)
        if isinstance(value, (list, tuple)):
            return self._redacted_list(value, path, action)
        if action is drop:
            return GONE
        if value is None or isinstance(value, (str, int, float)):
            return _done(action, value, path)
        raise NotEncodableError(f"{path}: a {type(value).__name__} cannot be redacted")

    def _redacted_mapping(self, values: Mapping[Any, Any], path: str, action: Action) -> Any:
        redacted = {}
        for name, value in values.items():
            inner = self._path(path, name)
            if inner is not None and (new := self._redacted(value, inner)) is not GONE:
                redacted[name] = new
        return redacted if redacted or (not values and action is not drop) else GONE

    def _redacted_list(self, values: Sequence[Any], path: str, action: Action) -> Any:
        if action is allow and _SCALARS.issuperset(map(type, values)):
            return values
        redacted = [new for value in values if (new := self._redacted(value, path)) is not GONE]
        return redacted if redacted or (not values and action is not drop) else GONE

    def _path(self, above: str, name: Any) -> str | None:
        """A field's path; None where its name cannot be published and it is dropped anyway."""
        if isinstance(name, str):
            # Not formatted: of an Enum that is text that gives something else than is published.
            return above + "." + name
        if above not in _ROOTS and (name is None or isinstance(name, (int, float))):
            return f"{above}.{json.dumps(name)}"
        if self._decide(above).action is drop:
            return None
        raise NotEncodableError(f"{above}: a name in it is a {type(name).__name__}, not text")

    def _remember(self, path: str) -> _Decision:
        decision = self._decide(path)
        if len(path) <= _LONGEST_PATH:
            if len(self._decisions) >= _MOST_PATHS:
                self._decisions.clear()
            self._decisions[path] = decision
        return decision

    def _decide(self, path: str) -> _Decision:
        plain, folded = _forms(path)
        number = self._first_match(plain, folded)
        before = self._rules[:number]
        return _Decision(
            self._otherwise if number is None else self._rules[number].action,
            not any(rule.may_match_beneath(folded[-1]) for rule in before),
        )

    def _first_match(self, plain: list[str], folded: list[str]) -> int | None:
        return next((n for n, rule in enumerate(self._rules) if rule.matches(plain, folded)), None)


class _Decision(NamedTuple):
    """What becomes of a field."""

    action: Action
    reaches_down: bool
    """Whether the same becomes of all beneath it."""


class _Rule:
    """A rule, ready to be matched."""

    def __init__(self, rule: RedactionRule, action: Action) -> None:
        self.action = action
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


def _restored(kind: type[Redaction], settings: RedactionSettings) -> Redaction:
    redaction = kind.__new__(kind)
    redaction._begin(settings)  # noqa: SLF001 (its other constructor)
    return redaction


def _put(values: dict[Any, Any], name: Any, value: Any) -> None:
    if value is GONE:
        del values[name]
    else:
        values[name] = value


def _done(action: Action, value: Any, path: str) -> Any:
    try:
        return action(value)
    except UnfitError as error:
        raise NotEncodableError(f"{path}: {error}") from None


def _forms(path: str) -> tuple[list[str], list[str]]:
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
