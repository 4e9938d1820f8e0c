"""What functions take as a lake."""

from __future__ import annotations

from pathlib import Path

from shadowlane.settings import Location

Lake = str | Path | Location

__all__ = ["Lake", "Location"]
