"""Redaction: what of a request leaves the process, decided field by field before it is encoded.

A field's path is its names joined with dots: `features.customer.email`, `segments.country`, `entity_id`.
The elements of a list have the list's path. The first rule that matches a path, or one above it, decides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shadowlane.errors import SettingsError
from shadowlane.producer._encode import Observation
from shadowlane.producer._redaction_rules import GONE, Action, Rule, UnfitError, allow, drop, forms
from shadowlane.schemas import NoFormError, Prediction, plain_value
from shadowlane.settings import RedactionRule, RedactionSettings, Secret

# Names come from data: what is remembered of them has an end, and so has what is matched with patterns.
_MOST_PATHS = 4096
_LONGEST_PATH = 1000
_MOST_HELD = 1_000_000
_CONTAINERS = (Mapping, list, tuple)
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
        """A redaction as it is, or from a mapping such as `[hook.redaction]`; None is none, {} too."""
        if isinstance(value, Redaction):
            return value
        if value is None or value == {}:
            return None
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
            NoFormError: a value's kind does not fit its rule, or cannot be looked into.
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
        self._rules = [Rule(rule, settings.key) for rule in settings.rules]
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
            number = self._first_match(*forms(path))
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
        try:
            prediction = Prediction.of(value)
        except NoFormError:  # its text may say names that come from data
            if self._decide("prediction").action is drop:
                return GONE
            raise NoFormError(f"prediction: a {type(value).__name__} has no form as one") from None
        fields = {}
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
        if action is allow and _is_nameless(value):
            return value
        try:
            value = _opened(value)
        except NoFormError as error:
            if action is drop:
                return GONE
            raise NoFormError(f"{path}: {error}") from None
        if isinstance(value, Mapping):
            return self._redacted_mapping(value, path, action)
        if isinstance(value, (list, tuple)):
            return self._redacted_list(value, path, action)
        return _done(action, value, path)

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
        """A field's path; None where it can have none, and is dropped anyway."""
        text = name if type(name) is str else _name_as_text(name)
        if text is not None and (isinstance(name, str) or above not in _ROOTS):
            path = f"{above}.{text}"
            if len(path) <= _LONGEST_PATH:
                return path
        if self._decide(above).action is drop:
            return None
        what = "too long" if isinstance(name, str) else f"a {type(name).__name__}, not text"
        raise NoFormError(f"{above}: a name in it is {what}")

    def _remember(self, path: str) -> _Decision:
        if len(self._decisions) >= _MOST_PATHS:
            self._decisions.clear()
        decision = self._decisions[path] = self._decide(path)
        return decision

    def _decide(self, path: str) -> _Decision:
        plain, folded = forms(path)
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


def _restored(kind: type[Redaction], settings: RedactionSettings) -> Redaction:
    redaction = kind.__new__(kind)
    redaction._begin(settings)  # noqa: SLF001 (its other constructor)
    return redaction


def _is_nameless(value: Any) -> bool:
    """Whether it is an array of numbers: one of objects, or with named fields, may have names in it."""
    dtype = getattr(value, "dtype", None)
    return getattr(dtype, "hasobject", True) is False and getattr(dtype, "names", ()) is None


def _opened(value: Any) -> Any:
    """A value made Python's own: what is in it only where there is no other way to see it."""
    value = plain_value(value, deep=False)
    return value if type(value) in _SCALARS or isinstance(value, _CONTAINERS) else plain_value(value)


def _name_as_text(name: Any) -> str | None:
    """A name as JSON has it; None where JSON has no such name."""
    try:
        plain = plain_value(name, deep=False)
    except NoFormError:
        return None
    if type(plain) not in _SCALARS:
        return None
    return plain if isinstance(plain, str) else json.dumps(plain)


def _put(values: dict[Any, Any], name: Any, value: Any) -> None:
    if value is GONE:
        del values[name]
    else:
        values[name] = value


def _done(action: Action, value: Any, path: str) -> Any:
    try:
        return action(value)
    except UnfitError as error:
        raise NoFormError(f"{path}: {error}") from None
