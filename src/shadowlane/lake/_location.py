"""Where a lake is: a folder of this machine, or a URL of an object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from shadowlane.errors import LakeError

_SCHEMES = ("s3", "gs", "az")


@dataclass(frozen=True, slots=True)
class Location:
    """A lake's place, and what it takes to reach it beyond what the environment says (secrets among it)."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str | Path | Self, options: Mapping[str, str] | None = None) -> Self:
        """A folder, made absolute, or a URL as it is.

        Raises:
            LakeError: the URL is of no object store that a lake can be in.
        """
        if isinstance(text, cls):
            return text
        given = str(text)
        scheme, mark, rest = given.partition("://")
        if not mark:
            return cls(str(Path(given).absolute()), dict(options or {}))
        if scheme not in _SCHEMES or not rest.strip("/"):
            known = ", ".join(f"{each}://…" for each in _SCHEMES)
            raise LakeError(f"lake {given}: a lake is a folder, or one of {known}")
        return cls(given.rstrip("/"), dict(options or {}))

    @property
    def folder(self) -> Path | None:
        """The folder, of a lake on this machine."""
        return None if "://" in self.url else Path(self.url)

    def table(self, name: str) -> str:
        """Where one of its tables is."""
        return f"{self.url}/{name}"

    def __str__(self) -> str:
        return self.url


#: What functions take as a lake.
Lake = str | Path | Location
