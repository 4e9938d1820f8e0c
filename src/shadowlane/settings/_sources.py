"""Where settings come from, in order of strength: arguments, environment, file.

Each value found keeps the place it came from, so that a wrong one can be named.
Unknown arguments and unknown keys of the file are errors. Unknown `SHADOWLANE_*` variables
are not: Kubernetes sets some by itself in each pod that lives beside a service of that name.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shadowlane.errors import SettingsError
from shadowlane.settings._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_FILE = "shadowlane.toml"

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_LARGE = 1e9


class Found(NamedTuple):
    """A value, the place it came from, the folder that its relative paths start from, its strength."""

    value: object
    where: str
    folder: Path
    strength: int


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"SHADOWLANE_{name.upper()}"


def nearest(wrong: str, right: Iterable[str]) -> str:
    """A hint at the right name: the nearest one, or all of them."""
    names = sorted(right)
    close = difflib.get_close_matches(wrong.lower(), names, n=1) or difflib.get_close_matches(
        wrong.upper(), names, n=1
    )
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"


def check_names(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse the first name that is not a known one."""
    known = list(known)
    for name in given:
        if name not in known:
            raise SettingsError(f"{where}: {name} is not a setting; {nearest(name, known)}")


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that was read, or the absence of one."""

    path: Path | None = None
    data: Mapping[str, object] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, config: str | Path | None, env: Mapping[str, str]) -> Document:
        """The file that was asked for, else `shadowlane.toml` of the current folder, if there."""
        asked = config or env.get(variable("config")) or None
        path = Path(asked) if asked else Path(DEFAULT_FILE)
        if asked is None and not path.is_file():
            return cls()
        try:
            return cls(path, tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as failure:
            raise SettingsError(f"{path}: cannot be read ({failure.strerror})") from failure
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
            raise SettingsError(f"{path}: is not TOML: {failure}") from None

    def table(self, name: str) -> Mapping[str, object]:
        """One table of the file, empty where the file has none."""
        found = self.data.get(name, {})
        if not isinstance(found, dict):
            raise SettingsError(f"{self.path}: {name} must be a table, written [{name}]")
        return found


@dataclass(frozen=True, slots=True)
class Sources:
    """The three places, for one table of the file.

    `title` is how messages name the table; `prefix` stands before a setting's name in its variable.
    """

    arguments: Mapping[str, object]
    env: Mapping[str, str]
    file: Path | None
    table: Mapping[str, object]
    title: str = ""
    prefix: str = ""

    def find(self, name: str) -> Found | None:
        """The strongest value of a setting. An empty variable counts as unset, as Compose sets those."""
        if self.arguments.get(name) is not None:
            return Found(self.arguments[name], f"argument {name}", Path(), 3)
        from_env = variable(self.prefix + name)
        if self.env.get(from_env):
            return Found(self.env[from_env], from_env, Path(), 2)
        if name in self.table and self.file is not None:
            return Found(self.table[name], f"{self.file}: {self.title}{name}", self.file.parent, 1)
        return None

    def text(self, name: str) -> str | None:
        """A setting that is text."""
        found = self.find(name)
        return None if found is None else _text(found)

    def path(self, name: str) -> str | None:
        """A setting that is a path (relative to the file that says it) or a URL."""
        found = self.find(name)
        return None if found is None else _place(_text(found), found.folder)

    def flag(self, name: str) -> bool | None:
        """A setting that is yes or no."""
        found = self.find(name)
        if found is None or isinstance(found.value, bool):
            return None if found is None else bool(found.value)
        word = str(found.value).lower()
        if word not in _FLAGS:
            raise SettingsError(f"{found.where}: must be true or false")
        return _FLAGS[word]

    def number(self, name: str) -> float | None:
        """A setting that is a number, of 0 or more."""
        found = self.find(name)
        if found is None:
            return None
        try:
            number = float(str(found.value))
        except ValueError:
            number = math.nan
        if not 0 <= number < _LARGE:
            raise SettingsError(f"{found.where}: must be a number of 0 or more")
        return number

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """A setting that is one of a few words, in any case."""
        found = self.find(name)
        if found is None:
            return None
        word = _text(found).upper()
        if word not in choices:
            raise SettingsError(f"{found.where}: {word!r} is not a choice; {nearest(word, choices)}")
        return word

    def secret(self, name: str) -> Secret | None:
        """A setting that is secret: itself, or as `NAME_file` the path of a file that holds it."""
        plain, by_file = self.find(name), self.find(f"{name}_file")
        if plain and by_file and plain.strength == by_file.strength:
            raise SettingsError(f"{by_file.where}: says the same as {name}; keep one of them")
        if by_file and (plain is None or by_file.strength > plain.strength):
            return _read_secret(by_file)
        if plain is None:
            return None
        return plain.value if isinstance(plain.value, Secret) else Secret(_text(plain))


def _text(found: Found) -> str:
    if isinstance(found.value, Path):
        return str(found.value)
    if not isinstance(found.value, str):
        raise SettingsError(f"{found.where}: must be text in quotes, not {type(found.value).__name__}")
    return found.value


def _place(text: str, folder: Path) -> str:
    # An empty path is no folder's own name: `--lake "$UNSET"` would land in the current folder.
    return text if "://" in text or not text.strip() else str(folder / Path(text).expanduser())


def _read_secret(found: Found) -> Secret:
    path = Path(_place(_text(found), found.folder))
    try:
        return Secret(path.read_text(encoding="utf-8").rstrip("\r\n"))
    except OSError as failure:
        raise SettingsError(f"{found.where}: {path} cannot be read ({failure.strerror})") from failure
    except UnicodeDecodeError:
        raise SettingsError(f"{found.where}: {path} is not UTF-8 text") from None
