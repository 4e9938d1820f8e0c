"""Texts: the forms in which two labels may be the same, and how alike two texts are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from shadowlane.errors import MissingExtraError

#: What may be done to labels before they are compared: other letters for capital ones, one space for
#: each run of white space (none at the ends), Unicode's compatibility forms for full width and the like.
STEPS = ("case", "space", "nfkc")


def normal(text: str, steps: Iterable[str]) -> str:
    """The text in the form that these steps come to."""
    if "nfkc" in steps:
        text = unicodedata.normalize("NFKC", text)
    if "case" in steps:
        text = text.casefold()
        # Folding can take a text out of its form.
        text = unicodedata.normalize("NFKC", text) if "nfkc" in steps else text
    return " ".join(text.split()) if "space" in steps else text


def likeness(primary: str, shadow: str) -> float:
    """How alike two texts are, from 0 to 1, in their normal form (all steps)."""
    score: float = likeness_of_forms()(normal(primary, STEPS), normal(shadow, STEPS))
    return score


def likeness_of_forms() -> Any:
    """The function that says how alike two texts in their normal form are.

    Raises:
        MissingExtraError: its package is not installed.
    """
    try:
        from rapidfuzz.distance import Indel  # noqa: PLC0415 - of the extra [text]
    except ImportError:
        raise MissingExtraError("text", "the text comparator") from None
    return Indel.normalized_similarity
