"""A rule of one's own: python:package.module:attribute, a function of two predictions."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction

_BOTH = 2


@cache
def function_of(target: str) -> Callable[[Prediction, Prediction], Any]:
    """What package.module:attribute names.

    Raises:
        SettingsError: it names nothing that can be called.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise SettingsError("write python:package.module:attribute")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: rules lie beside the user's code
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise SettingsError(f"cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise SettingsError(f"{attribute} is a {type(found).__name__}, not a function")
    function: Callable[[Prediction, Prediction], Any] = found
    return function


def judged(target: str, answer: object) -> tuple[bool, float | None]:
    """What the function said: whether they agree, or that and how far apart they are.

    Raises:
        TypeError: it said something else.
    """
    pair = answer if isinstance(answer, tuple) and len(answer) == _BOTH else (answer, None)
    # NumPy's truths and numbers are none of Python's, but turn into them.
    agreement, difference = map(_plain, pair)
    is_number = isinstance(difference, (int, float)) and not isinstance(difference, bool)
    if not isinstance(agreement, bool) or not (difference is None or is_number):
        raise TypeError(f"python:{target} must answer with True or False, or with (True, a difference)")
    if difference is None or not math.isfinite(difference):
        return agreement, None
    return agreement, float(difference)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
