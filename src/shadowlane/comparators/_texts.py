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
    score: float = _indel().normalized_similarity(normal(primary, STEPS), normal(shadow, STEPS))
    return score


def likenesses(primary: list[str], shadow: list[str]) -> Any:
    """`likeness` of each pair, as an array."""
    from rapidfuzz.process import cpdist  # noqa: PLC0415 - of the extra [text]

    forms = ([normal(text, STEPS) for text in texts] for texts in (primary, shadow))
    return cpdist(*forms, scorer=_indel().normalized_similarity, dtype="float64")


def check_likeness_is_there() -> None:
    """See whether texts can be compared, before the first ones come.

    Raises:
        MissingExtraError: what it takes is not installed.
    """
    _indel()


def _indel() -> Any:
    try:
        from rapidfuzz.distance import Indel  # noqa: PLC0415 - of the extra [text]
    except ImportError:
        raise MissingExtraError("text", "the text comparator") from None
    return Indel
