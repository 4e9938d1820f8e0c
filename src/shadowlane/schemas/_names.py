"""Names that become folders of the lake: models, shadows and runs."""

from __future__ import annotations

import re

from shadowlane.errors import SettingsError

# Azure's object store does not keep a folder whose name ends with a dot.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")


def check_name(kind: str, name: str) -> str:
    """The name itself, when it may become a folder.

    Raises:
        SettingsError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{kind} name {name[:140]!r}: use 1 to 128 letters, digits, dots, underscores and hyphens, "
            "a letter or digit first and no dot last"
        )
    return name
