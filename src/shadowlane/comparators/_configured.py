"""The comparator of a model, from arguments over `shadowlane.toml`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shadowlane.comparators._comparator import Comparator, replaced
from shadowlane.comparators._ignored import Ignored
from shadowlane.comparators._parse import PARTS, own_rule, part_rule
from shadowlane.comparators._rules import DEFAULT_RULES, Rule
from shadowlane.errors import SettingsError
from shadowlane.settings import ComparatorSettings


def configured(
    model: str,
    given: Sequence[str] = (),
    ignore: Sequence[str] = (),
    *,
    config: str | Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> Comparator:
    """The comparator of a model.

    Args:
        model: Whose table `[comparators.MODEL]` stands over `[comparators]`.
        given: Rules that decide alone, in their order; `auto` among them stands for the file's.
        ignore: Pairs not to count, beside those of the file.
        config: The file, `shadowlane.toml` by default.
        env: The environment.

    Raises:
        SettingsError: something of it is wrong; the error names the argument, or the file and key.
        MissingExtraError: a rule needs a package that is not installed.
    """
    settings = ComparatorSettings.load(model, config=config, env=env)
    comparator = Comparator.of(given or ["auto"], ignore, auto=_rules(settings))
    return Comparator(comparator.rules, (*_ignored(settings), *comparator.ignored))


def _rules(settings: ComparatorSettings) -> tuple[Rule, ...]:
    """The file's rules over the defaults; with `parts` only those, in that order."""
    own = []
    for name, found in settings.rules.items():
        with _blaming(found.where):
            own.append(_rule(name, found.value[0]))
    rules = {rule.part: rule for rule in replaced(DEFAULT_RULES, own)}
    if settings.parts is None:
        return tuple(rules.values())
    names = settings.parts.value
    with _blaming(settings.parts.where):
        if not names or len(set(names)) < len(names) or not set(names) <= set(PARTS):
            raise SettingsError(f"must name some of {', '.join(PARTS)}, each once")
    return tuple(rules[part] for name in names for part in PARTS if part == name)


def _rule(name: str, text: str) -> Rule:
    for part in PARTS:
        if name == part:
            return part_rule(part, text)
    return own_rule(text.removeprefix("python:"), None)


def _ignored(settings: ComparatorSettings) -> tuple[Ignored, ...]:
    if settings.ignore is None:
        return ()
    with _blaming(settings.ignore.where):
        return tuple(map(Ignored.parse, settings.ignore.value))


@contextmanager
def _blaming(where: str) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
