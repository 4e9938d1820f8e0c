"""From what users write to rules: `score:abs=0.01,rel=0.05`, `label:case,space`, `ranking:top=5`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from shadowlane.comparators._measures import MEASURES
from shadowlane.comparators._own import function_of
from shadowlane.comparators._rules import (
    DEFAULT_TOLERANCE,
    LabelRule,
    OwnRule,
    Part,
    RankingRule,
    Rule,
    ScoreRule,
    TextRule,
    VectorRule,
)
from shadowlane.comparators._texts import STEPS, likeness_of_forms
from shadowlane.errors import SettingsError

PARTS: tuple[Part, ...] = get_args(Part)
KINDS = ("auto", *PARTS, "text", "python")
_BARE = ""


def read_rule(text: str) -> Rule:
    """One rule: its kind, and after a colon how it is to judge.

    Raises:
        SettingsError: there is no such rule.
        MissingExtraError: the rule needs a package that is not installed.
    """
    kind, colon, options = text.partition(":")
    if kind == "python":
        return own_rule(options, None)
    if kind == "text":
        return _text_rule(options)
    for part in PARTS:
        if kind == part:
            if colon and not options:
                raise SettingsError(f"nothing stands behind the colon; {_HINTS[part]}")
            return part_rule(part, options)
    raise SettingsError(f"use one of {', '.join(KINDS)}")


def part_rule(part: Part, options: str) -> Rule:
    """The rule of one part, from what stands behind its name.

    Raises:
        SettingsError: there is no such rule.
        MissingExtraError: the rule needs a package that is not installed.
    """
    if options.startswith("python:"):
        return own_rule(options.removeprefix("python:"), part)
    return _READERS[part](options)


def own_rule(target: str, part: Part | None) -> Rule:
    """A rule of one's own; its function is looked up at once, rather than at the first request."""
    function_of(target)
    return OwnRule(target, part)


def tolerant_rules(tolerance: str) -> tuple[Rule, Rule]:
    """What `auto:0.1` means for scores and vectors."""
    bound = _number("the tolerance", tolerance)
    return ScoreRule(bound), VectorRule(bound=bound)


def _label_rule(options: str) -> Rule:
    words = [] if options in ("", "exact") else options.split(",")
    if words and words[0].startswith("text="):
        return _text_rule(options.removeprefix("text="))
    if unknown := [word for word in words if word not in STEPS]:
        raise SettingsError(f"{unknown[0]!r}: {_HINTS['label']}")
    return LabelRule(tuple(step for step in STEPS if step in words))


def _text_rule(least: str) -> Rule:
    rule = TextRule(_number("text", least, most=1.0))
    likeness_of_forms()  # whether it is there shows now, rather than at the first request
    return rule


def _score_rule(options: str) -> Rule:
    given = _options(options, ("abs", "rel"), "score")
    if not given:
        return ScoreRule()
    if _BARE in given:
        return ScoreRule(_number("the tolerance", given[_BARE]))
    absolute = _number("abs", given.get("abs", "0"))
    return ScoreRule(absolute, _number("rel", given.get("rel", "0"), most=1.0))


def _vector_rule(options: str) -> Rule:
    given = _options(options, MEASURES, "vector")
    if len(given) > 1:
        raise SettingsError("a vector rule has one measure")
    for name, value in given.items():
        measure = name or "largest"
        least = -1.0 if measure == "cosine" else 0.0
        most = 1.0 if measure in _UP_TO_ONE else math.inf
        return VectorRule(measure, _number(name or "the tolerance", value, least, most))
    return VectorRule(bound=DEFAULT_TOLERANCE)


def _ranking_rule(options: str) -> Rule:
    given = _options("" if options == "exact" else options, ("top", "overlap", "spearman"), "ranking")
    if _BARE in given:
        raise SettingsError(f"{given[_BARE]!r}: {_HINTS['ranking']}")
    top = given.get("top")
    if top is not None and not (top.isascii() and top.isdigit() and int(top) > 0):
        raise SettingsError(f"top must be a whole number from 1, not {top!r}")
    return RankingRule(
        top=None if top is None else int(top),
        overlap=_number("overlap", given["overlap"], most=1.0) if "overlap" in given else None,
        spearman=_number("spearman", given["spearman"], -1.0, 1.0) if "spearman" in given else None,
    )


def _options(text: str, known: Any, part: Part) -> dict[str, str]:
    """`name=value` with commas; one value may stand alone, without a name."""
    given: dict[str, str] = {}
    for option in text.split(",") if text else ():
        name, equals, value = option.partition("=")
        name, value = (name, value) if equals else (_BARE, option)
        if (name and name not in known) or name in given:
            raise SettingsError(f"{option!r}: {_HINTS[part]}")
        given[name] = value
    if _BARE in given and len(given) > 1 and part != "ranking":
        raise SettingsError(f"{given[_BARE]!r}: say what it is; {_HINTS[part]}")
    return given


def _number(name: str, text: str, least: float = 0.0, most: float = math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and least <= value <= most):
        wanted = f"from {least:g} up" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise SettingsError(f"{name} must be a number {wanted}, not {text!r}")
    return value + 0.0  # -0.0 is 0


_UP_TO_ONE = ("cosine", "total_variation", "hellinger")
_HINTS: Mapping[Part, str] = {
    "label": f"a label rule takes exact, any of {', '.join(STEPS)}, text=NUMBER, or python:…",
    "score": "a score rule takes a tolerance, abs=NUMBER and rel=NUMBER, or python:…",
    "vector": f"a vector rule takes a tolerance, one of {', '.join(MEASURES)} with =NUMBER, or python:…",
    "ranking": "a ranking rule takes exact, any of top, overlap, spearman with =NUMBER, or python:…",
}
_READERS: Mapping[Part, Callable[[str], Rule]] = {
    "label": _label_rule,
    "score": _score_rule,
    "vector": _vector_rule,
    "ranking": _ranking_rule,
}
