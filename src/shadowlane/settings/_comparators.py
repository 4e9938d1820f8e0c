"""The table `[comparators]`: when predictions agree, by what a prediction is, and by model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shadowlane.errors import SettingsError
from shadowlane.settings._settings import TOP_LEVEL
from shadowlane.settings._sources import Document, check_names

RULES = ("label", "score", "vector", "ranking", "any")
LISTS = ("parts", "ignore")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a key says, and where it stands, for the errors of those who read it."""

    where: str
    value: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparatorSettings:
    """What the file says of the comparators of one model.

    Attributes:
        rules: A rule's text, by `label`, `score`, `vector`, `ranking` or `any`.
        parts: Which parts are compared, the first that both predictions have.
        ignore: Which pairs are not to count.
    """

    rules: Mapping[str, Setting]
    parts: Setting | None = None
    ignore: Setting | None = None

    @classmethod
    def load(
        cls, model: str, *, config: str | Path | None = None, env: Mapping[str, str] = os.environ
    ) -> Self:
        """Read `[comparators]` and over it, key by key, `[comparators.MODEL]`.

        Raises:
            SettingsError: a key is none, or its value is not what it must be.
        """
        document = Document.read(config, env)
        check_names(document.data, TOP_LEVEL, str(document.path))
        table = document.table("comparators")
        of_all = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
        of_model = table.get(model)
        found = _settings(of_all, f"{document.path}: [comparators]")
        if isinstance(of_model, Mapping):
            own = _settings(of_model, f"{document.path}: [comparators.{model}]")
            # A rule for every prediction and one for a part undo each other: the model's stands.
            if not own.keys().isdisjoint((*RULES, "parts")):
                undone = (*RULES[:-1], "parts") if "any" in own else ("any",)
                found = {name: value for name, value in found.items() if name not in undone}
            found |= own
        rules = {name: found[name] for name in RULES if name in found}
        return cls(rules, found.get("parts"), found.get("ignore"))


def _settings(table: Mapping[str, object], where: str) -> dict[str, Setting]:
    check_names(table, (*RULES, *LISTS), where)
    found = {name: _setting(f"{where} {name}", name, value) for name, value in table.items()}
    if "any" in found and not found.keys().isdisjoint((*RULES[:-1], "parts")):
        raise SettingsError(f"{where} any: it decides on all predictions; take the rules beside it out")
    return found


def _setting(where: str, name: str, value: object) -> Setting:
    if name in LISTS:
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return Setting(where, tuple(value))
        raise SettingsError(f"{where}: must be a list of texts")
    if isinstance(value, str):
        return Setting(where, (value,))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Setting(where, (repr(value),))
    raise SettingsError(f"{where}: must be text in quotes or a number, not {type(value).__name__}")
