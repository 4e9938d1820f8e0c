"""Groups of requests, added up from the cohorts: a value of a segment, or two values crossed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._cohorts import COUNTS, NONE, OTHER, PLACES, Block, Cohorts, Tally
from shadowlane.aggregator.report.figures import SMALL_GROUP, Term

# Of the crossings, so many with the most requests; and so many additions to find them at most.
_MOST_CROSSINGS = 2_000
_MOST_ADDITIONS = 10_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """Some requests, and those that they are held against: all, and of a crossing each of its two as well."""

    terms: tuple[Term, ...]
    tally: Tally
    around: tuple[Tally, ...]


def whole_of(cohorts: Cohorts) -> Tally:
    """All requests."""
    return Tally.of(cohorts.blocks[0].counts.sum(axis=0) if cohorts.blocks else np.zeros(COUNTS))


def singles(cohorts: Cohorts) -> tuple[Group, ...]:
    """Each value of each segment; what has no value, and what the rare values add up to, are groups too."""
    whole = whole_of(cohorts)
    return tuple(
        Group((term(block, column, place),), Tally.of(counts), (whole,))
        for block in cohorts.blocks
        for column in range(len(block.names))
        for place, counts in enumerate(summed(block.places[:, column], block.counts, PLACES))
        if counts[0]
    )


def crossings(cohorts: Cohorts) -> tuple[Group, ...]:
    """Two values at a time, where they have requests enough and are not the same requests as either alone."""
    whole = whole_of(cohorts)
    found = [group for block in cohorts.blocks for group in _crossings(block, whole)]
    found.sort(key=lambda group: (-group.tally.requests, _order(group.terms)))
    return tuple(found[:_MOST_CROSSINGS])


def are_all_crossed(cohorts: Cohorts) -> bool:
    """Whether every two segments are: not those of different blocks, nor more than can be added up."""
    return len(cohorts.blocks) <= 1 and all(
        len(_pairs(block)) == math.comb(len(block.names), 2) for block in cohorts.blocks
    )


def _pairs(block: Block) -> list[tuple[int, int]]:
    most = max(1, _MOST_ADDITIONS // (COUNTS * (len(block.counts) + PLACES * PLACES)))
    return list(islice(combinations(range(len(block.names)), 2), most))


def _crossings(block: Block, whole: Tally) -> Iterator[Group]:
    alone = [summed(block.places[:, column], block.counts, PLACES) for column in range(len(block.names))]
    for first, second in _pairs(block):
        crossed = block.places[:, first] * PLACES + block.places[:, second]
        counts = summed(crossed, block.counts, PLACES * PLACES)
        for place in np.flatnonzero(counts[:, 0] >= SMALL_GROUP):
            one, other = divmod(int(place), PLACES)
            sides = (alone[first][one], alone[second][other])
            if OTHER in {one, other} or any(side[0] == counts[place, 0] for side in sides):
                continue
            yield Group(
                (term(block, first, one), term(block, second, other)),
                Tally.of(counts[place]),
                (whole, *map(Tally.of, sides)),
            )


def in_both(cohorts: Cohorts, first: Sequence[Term], second: Sequence[Term]) -> Tally | None:
    """The requests of two groups at once; None where their segments were not crossed."""
    terms = {*first, *second}
    for block in cohorts.blocks:
        if all(each.segment in block.names for each in terms):
            is_in = np.ones(len(block.counts), np.bool_)
            for each in terms:
                column = block.names.index(each.segment)
                is_in &= block.places[:, column] == _place(block, column, each)
            return Tally.of(block.counts[is_in].sum(axis=0))
    return None


def summed(places: NDArray[np.int64], counts: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The counts of the rows of each place."""
    return np.stack([np.bincount(places, column, most) for column in counts.T], axis=1)


def term(block: Block, column: int, place: int) -> Term:
    """Which segment and value a place of a block stands for."""
    name, values = block.names[column], block.values[column]
    return Term(segment=name, value=values[place] if place < len(values) else None, is_other=place == OTHER)


def _place(block: Block, column: int, wanted: Term) -> int:
    if wanted.value is None:
        return OTHER if wanted.is_other else NONE
    return block.values[column].index(wanted.value)


def _order(terms: Sequence[Term]) -> tuple[tuple[str, str], ...]:
    return tuple((each.segment, each.value or "") for each in terms)
