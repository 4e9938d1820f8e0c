"""Several figures at once: numpy lets others work while it looks at a large array."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")

_THREADS = 2


def at_once(function: Callable[[One], Other], over: Iterable[One]) -> list[Other]:
    """What a function makes of each, in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, over))
