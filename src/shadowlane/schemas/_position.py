"""Where a key lies among all keys: what sampling decides by, in each process and language the same."""

from __future__ import annotations

from hashlib import sha256


def position(key: str) -> float:
    """Where a key lies in [0, 1): the first 53 bits of the SHA-256 of its UTF-8 bytes, as a fraction.

    Two decisions by the same keys are independent only where one hashes them with something before them.
    """
    return (int.from_bytes(sha256(key.encode()).digest()[:8]) >> 11) * 2.0**-53
