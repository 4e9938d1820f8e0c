"""Which requests are published: a pure function of a key and a rate.

A key's position is the first 53 bits of the SHA-256 of its UTF-8 bytes, as a fraction in [0, 1);
it is sampled where its position is below the rate. 53 bits are what a double holds exactly, so every
language with doubles and SHA-256 decides the same, and a smaller rate's set lies inside a larger one's:

    "user-1"     0.7764059241441004
    "user-2"     0.8483186847808387
    "Grüße 東京"  0.8513485323862987

Whoever splits traffic by the same keys must hash them with something before them (a salt), or the
arms and the sample will not be independent.
"""

from __future__ import annotations

import math
from hashlib import sha256
from numbers import Real

from shadowlane.errors import SettingsError


def position(key: str) -> float:
    """Where a key lies in [0, 1), in each process and language the same."""
    return (int.from_bytes(sha256(key.encode()).digest()[:8]) >> 11) * 2.0**-53


def is_sampled(key: str, rate: float) -> bool:
    """Whether the request with this key is published at this rate; 0 is never, 1 is always."""
    return rate >= 1 or (rate > 0 and position(key) < rate)


def check_rate(rate: object) -> float:
    """The rate as a float.

    Raises:
        SettingsError: it is no number from 0 to 1.
    """
    if isinstance(rate, Real) and not isinstance(rate, bool):
        number = float(rate)
        if not math.isnan(number) and 0 <= number <= 1:
            return number
    raise SettingsError(f"sampling is {rate!r}; it must be a number from 0 (nothing) to 1 (everything)")
