"""Pairs that say nothing about agreement, by what a model said or by a segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction

#: How the name of an ignored pair's comparator begins; it is no agreement, and counted in no rate.
IGNORED = "ignored:"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Pairs where either label is `value`, or whose segment is."""

    value: str
    #: The segment's name; None: the labels are looked at.
    segment: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ignored:
        """Read `label=unknown` or `segment.country=XX`.

        Raises:
            SettingsError: it is neither.
        """
        field, equals, value = text.partition("=")
        prefix, dot, segment = field.partition(".")
        if equals and field == "label":
            return cls(value)
        if equals and prefix == "segment" and dot and segment:
            return cls(value, segment)
        raise SettingsError(f"{text!r}: write label=VALUE or segment.NAME=VALUE")

    @property
    def name(self) -> str:
        """What the comparison records in the comparator's place."""
        field = "label" if self.segment is None else f"segment.{self.segment}"
        return f"{IGNORED}{field}={self.value}"

    def covers(self, primary: Prediction, shadow: Prediction, segments: Mapping[str, str]) -> bool:
        """Whether this pair is one of them."""
        if self.segment is None:
            return self.value in (primary.label, shadow.label)
        return segments.get(self.segment) == self.value
