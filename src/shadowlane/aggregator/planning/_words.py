"""How a plan says numbers."""

from __future__ import annotations

_THOUSAND = 1_000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def percent(share: float) -> str:
    """0.05 is 5 %, 0.0123 is 1.23 %; one that is not all is never 100 %."""
    text = f"{share * 100:.3g}"
    if text == "100" and share < 1:
        text = "99.9"
    return f"{_plain(text)} %"


def size(count: float) -> str:
    """1,500,000 is 1.5 MB."""
    place = 0
    while count >= _THOUSAND and place < len(_UNITS) - 1:
        count /= _THOUSAND
        place += 1
    return f"{count:,.3g} {_UNITS[place]}" if count < _THOUSAND else f"{count:,.0f} {_UNITS[place]}"


def money(amount: float) -> str:
    """Two digits after the point, and of little money two that say something."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else _plain(f"{amount:.2g}")


def number(amount: float) -> str:
    """Three digits that say something; whole from a thousand on."""
    return f"{amount:,.0f}" if amount >= _THOUSAND else _plain(f"{amount:.3g}")


def days(count: float) -> str:
    """1 day, 9 days."""
    text = number(count)
    return f"{text} day" if text == "1" else f"{text} days"


def many(count: int, noun: str, plural: str | None = None) -> str:
    """1 worker, 2 workers."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _plain(text: str) -> str:
    """Without an exponent, as far as anybody would read the zeros."""
    return f"{float(text):.10f}".rstrip("0").rstrip(".") if "e-0" in text else text
