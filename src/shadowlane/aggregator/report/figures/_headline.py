"""What must be seen first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A sentence for the top of the page, and the section that it comes from."""

    weight: Literal["alarm", "warning", "remark"]
    section: str  # segments, errors, completeness, …
    sentence: str  # plain text, names from data made visible
