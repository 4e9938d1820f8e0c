"""Where a lake is: a folder of this machine, or a URL of an object store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from shadowlane.errors import SettingsError
from shadowlane.settings._lake_options import STORES, TABLE, read_options, secret_options
from shadowlane.settings._secret import Secret, scrub
from shadowlane.settings._sources import Sources

DEFAULT_LAKE = "./lake"

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9._=+-]{1,200}")
_HALF_A_URL = re.compile(r"(?:^|/)(s3|gs|az):")
_MISREAD = re.compile(r"\\|%[0-9a-fA-F]{2}")
_SIGNATURE = re.compile(r"(?i)\b(sig|x-amz-signature|x-amz-security-token|x-goog-signature)=[^&\s\"'<>]+")


@dataclass(frozen=True, slots=True)
class Location:
    """A lake's place, and what Delta takes to reach it beyond the environment (secrets among it)."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str | Path | Self, options: Mapping[str, object] | None = None) -> Self:
        """A folder, made absolute, or a URL, with options by their names in `[lake_options]`.

        Raises:
            SettingsError: it can be no lake, or an option is none or not what it must be.
        """
        if isinstance(text, cls):
            return text
        return cls.from_sources(str(text), Sources(options or {}, {}, None, {}))

    @classmethod
    def from_sources(cls, text: str, sources: Sources) -> Self:
        """The same, with options from anywhere."""
        scheme, mark, rest = text.partition("://")
        if not mark:
            return cls(_folder(text))
        scheme = scheme.lower()
        if scheme == "file":
            return cls(_folder_of_url(rest))
        if scheme not in STORES:
            known = ", ".join(f"{each}://…" for each in STORES)
            raise SettingsError(f"lake {scheme[:20]}://…: a lake is a folder, or one of {known}")
        return cls(f"{scheme}://{_checked(scheme, rest)}", read_options(scheme, sources))

    @property
    def folder(self) -> Path | None:
        """The folder, of a lake on this machine."""
        return None if "://" in self.url else Path(self.url)

    def table(self, name: str) -> str:
        """Where one of its tables is."""
        return f"{self.url}/{name}"

    def scrub(self, text: str) -> str:
        """The text without any secret of these options, and without signatures."""
        hidden = secret_options()
        secrets = [Secret(value) for name, value in self.options.items() if name in hidden]
        return _SIGNATURE.sub(r"\1=***", scrub(text, secrets))

    def __str__(self) -> str:
        return self.url


def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise SettingsError("lake: name a folder, or a URL such as s3://bucket/prefix")
    half = _HALF_A_URL.search(text)
    if half:
        raise SettingsError(f"lake {half[1]}:…: a URL of a store begins with {half[1]}://")
    folder = str(Path(text).expanduser().absolute())
    if _MISREAD.search(folder):
        raise SettingsError(
            f"lake {folder}: Delta takes a backslash, or a % before two digits, for another letter; "
            "name the folder otherwise"
        )
    return folder


def _folder_of_url(rest: str) -> str:
    if not rest.startswith("/"):
        raise SettingsError("lake file://…: write file:///the/folder, with three slashes, or the folder")
    return _folder(unquote(rest))


def _checked(scheme: str, rest: str) -> str:
    """Bucket and prefix. Of what may hold a secret, nothing is repeated."""
    if any(mark in rest for mark in "@?#"):
        raise SettingsError(
            f"lake {scheme}://…: no keys, signatures or questions in a URL; credentials belong in the "
            f"environment ({STORES[scheme].prefix}*) or in [{TABLE}]"
        )
    bucket, _, prefix = rest.rstrip("/").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"lake {scheme}://…: {bucket[:80]!r} is no name of a bucket or container")
    for segment in prefix.split("/") if prefix else ():
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise SettingsError(
                f"lake {scheme}://{bucket}/…: {segment[:80]!r} cannot be a folder there; between single "
                "slashes use letters, digits and . _ = + -, and no step up"
            )
    return f"{bucket}/{prefix}" if prefix else bucket
