"""How long ago, as people write it: 90m, 12h, 7d or 4w."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_DURATION = re.compile(r"(\d{1,5})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """So long."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time; write 90m, 12h, 7d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
