"""How alike two rankings are. An item that comes again counts at its first place only."""

from __future__ import annotations

from collections.abc import Sequence

_ENOUGH_FOR_AN_ORDER = 2


def cut(ranking: Sequence[str], top: int | None) -> list[str]:
    """The first items, each once."""
    return list(dict.fromkeys(ranking))[:top]


def overlap(primary: Sequence[str], shadow: Sequence[str]) -> float:
    """The share of items in common, of the longer ranking's; two empty rankings have all in common."""
    longer = max(len(primary), len(shadow))
    return len(set(primary) & set(shadow)) / longer if longer else 1.0


def spearman(primary: Sequence[str], shadow: Sequence[str]) -> float | None:
    """The rank correlation of the items in common, renumbered among themselves: 1 same order, -1 reverse.

    None where fewer than two are in common: there is no order then. Equal rankings have 1 in any case.
    """
    if primary == shadow:
        return 1.0
    common = set(primary) & set(shadow)
    items = len(common)
    if items < _ENOUGH_FOR_AN_ORDER:
        return None
    places = {item: place for place, item in enumerate(each for each in shadow if each in common)}
    first = (each for each in primary if each in common)
    squares = sum((place - places[item]) ** 2 for place, item in enumerate(first))
    return 1.0 - 6 * squares / (items * (items * items - 1))
