"""Text from outside, with all that would act on a screen or page written out."""

from __future__ import annotations

import unicodedata

_LONGEST = 160
_BYTE = 0xFF


def visible(text: str, longest: int = _LONGEST) -> str:
    """Text from outside with all that would act on a screen or page written out, and cut to a length.

    Control characters move cursors and recolour terminals; some format characters turn the reading
    direction around. Each is shown as its code.
    """
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(letter if _is_plain(letter) else _code(letter) for letter in cut)


def _is_plain(letter: str) -> bool:
    return letter == " " or unicodedata.category(letter)[0] not in "CZ"


def _code(letter: str) -> str:
    if unicodedata.category(letter) == "Zs":
        return " "
    code = ord(letter)
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return known.get(letter) or (f"\\x{code:02x}" if code <= _BYTE else f"\\u{{{code:x}}}")
