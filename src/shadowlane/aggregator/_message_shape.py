"""Messages that differ only in what they name (numbers, ids, quoted words) are one message: its shape."""

from __future__ import annotations

#: The longest shape there is; of a message twice as much is looked at.
LONGEST_SHAPE = 200

_QUOTED = (
    (r"(^|[^[:alnum:]])'[^']*'", r"\1'…'"),
    (r'(^|[^[:alnum:]])"[^"]*"', r'\1"…"'),
)
#: What a message is rid of, in turn, before it is set beside others, and what stands there instead.
_COUNTED = (
    (r"\b[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}\b|\b[[:xdigit:]]{12,}\b", "#"),
    (r"[0-9]([[:alnum:]_.:+-]*[[:alnum:]])?", "#"),
    (r"\s+", " "),
)


def shape_sql(message: str, *, keep_quoted: bool = False) -> str:
    """The shape of a message as an expression of the engine's; with the quoted words, where that is asked."""
    shape = message
    for pattern, instead in (*(() if keep_quoted else _QUOTED), *_COUNTED):
        shape = f"regexp_replace({shape}, {_literal(pattern)}, {_literal(instead)}, 'g')"
    return f"left({shape}, {LONGEST_SHAPE})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
