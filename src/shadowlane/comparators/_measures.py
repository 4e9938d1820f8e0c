"""How far apart two vectors are. Each measure is written once, for numbers and for columns of numbers.

A vector comes as its components. A component is a float, or an array with that component of many
vectors: the same operations in the same order, so that one pair and a million are judged alike, to the
last bit. The measures use only what IEEE 754 rounds in one way everywhere (+, -, *, / and the square
root; no logarithm), and add from left to right, so that the SQL form gives the same numbers, too.

A result that is no number (NaN) or infinite says that there is no distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A float, or an array of them; and a truth, or an array of them.
Number = Any
Truth = Any

#: How far the sum of a distribution may be from 1: rounded decimals and 16-bit floats are.
SUM_SLACK = 0.001


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What numbers and arrays have under different names."""

    either: Callable[[Truth, Number, Number], Number]
    root: Callable[[Number], Number]
    nothing: Number
    always: Truth


FLOATS = Arithmetic(lambda truth, this, that: this if truth else that, math.sqrt, 0.0, always=True)

Measure = Callable[[Arithmetic, Sequence[Number], Sequence[Number]], Number]


def largest(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> Number:
    """The largest distance of two components; equal infinities have none."""
    return _largest(use, _gaps(use, primary, shadow))


def euclidean(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> Number:
    """The straight line between two vectors, scaled by its largest part: squares must not overflow."""
    gaps = _gaps(use, primary, shadow)
    scale = _or_one(use, _largest(use, gaps))
    return scale * use.root(_sum(use, (_square(gap / scale) for gap in gaps)))


def cosine(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> Number:
    """The cosine of the angle; 1 for equal vectors, 0 where just one of the two is all zeros."""
    equal = use.always
    for a, b in zip(primary, shadow, strict=True):
        equal = equal & (a == b)
    left, right = _scaled(use, primary), _scaled(use, shadow)
    product = _sum(use, (a * b for a, b in zip(left, right, strict=True)))
    sizes = use.root(_sum(use, map(_square, left))) * use.root(_sum(use, map(_square, right)))
    found = product / _or_one(use, sizes)
    found = use.either(found > 1.0, 1.0, use.either(found < -1.0, -1.0, found))
    return use.either(equal, 1.0, found)


def total_variation(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> Number:
    """Half of what two distributions differ in: the share of the mass that lies elsewhere."""
    apart = 0.5 * _sum(use, (abs(b - a) for a, b in zip(primary, shadow, strict=True)))
    return _of_distributions(use, primary, shadow, apart)


def hellinger(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> Number:
    """The Hellinger distance of two distributions: from 0, the same, to 1, nothing in common."""
    roots = ((_root(use, a), _root(use, b)) for a, b in zip(primary, shadow, strict=True))
    apart = use.root(0.5 * _sum(use, (_square(b - a) for a, b in roots)))
    return _of_distributions(use, primary, shadow, apart)


#: The distances by name; `cosine` is a likeness: the larger, the nearer.
MEASURES: Mapping[str, Measure] = {
    "largest": largest,
    "euclidean": euclidean,
    "cosine": cosine,
    "total_variation": total_variation,
    "hellinger": hellinger,
}


def _gaps(use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number]) -> list[Number]:
    return [use.either(a == b, 0.0, abs(b - a)) for a, b in zip(primary, shadow, strict=True)]


def _largest(use: Arithmetic, numbers: Iterable[Number]) -> Number:
    """The largest number; NaN where one is NaN, which `max` would lose."""
    found = use.nothing
    for number in numbers:
        found = use.either((found >= number) | (found != found), found, number)  # noqa: PLR0124 (NaN is not itself)
    return found


def _sum(use: Arithmetic, numbers: Iterable[Number]) -> Number:
    """From left to right: `sum` of Python 3.12 and NumPy's own add in orders of their own."""
    found = use.nothing
    for number in numbers:
        found = found + number  # not +=, which would change an array in place
    return found


def _square(number: Number) -> Number:
    return number * number


def _root(use: Arithmetic, number: Number) -> Number:
    """Of what is no probability, none is asked."""
    return use.root(use.either(number > 0.0, number, 0.0))


def _or_one(use: Arithmetic, number: Number) -> Number:
    """A number to divide by."""
    return use.either(number > 0.0, number, 1.0)


def _scaled(use: Arithmetic, vector: Sequence[Number]) -> list[Number]:
    scale = _or_one(use, _largest(use, map(abs, vector)))
    return [number / scale for number in vector]


def _of_distributions(
    use: Arithmetic, primary: Sequence[Number], shadow: Sequence[Number], apart: Number
) -> Number:
    both = _is_distribution(use, primary) & _is_distribution(use, shadow)
    return use.either(both, apart, math.nan)


def _is_distribution(use: Arithmetic, vector: Sequence[Number]) -> Truth:
    found = abs(_sum(use, vector) - 1.0) <= SUM_SLACK
    for number in vector:
        found = found & (number >= 0.0)
    return found
