"""Which requests are published: a pure function of a key and a rate.

A key's position is the first 53 bits of the SHA-256 of its UTF-8 bytes, as a fraction in [0, 1);
it is sampled where its position is below the rate. 53 bits are what a double holds exactly, so every
language with doubles and SHA-256 decides the same, and a smaller rate's set lies inside a larger one's
(docs/sampling.md has it in other languages, docs/sampling-vectors.json the values to hold them to):

    "user-1"     0.7764059241441004
    "user-2"     0.8483186847808387
    "Grüße 東京"  0.8513485323862987

Whoever splits traffic by the same keys must hash them with something before them (a salt), or the
arms and the sample will not be independent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from shadowlane.errors import SettingsError
from shadowlane.schemas import label_text, plain_value, position


def is_sampled(key: str, rate: float) -> bool:
    """Whether the request with this key is published at this rate; 0 is never, 1 is always.

    Raises:
        SettingsError: the rate is no number from 0 to 1.
    """
    if type(rate) is not float or not 0 <= rate <= 1:
        rate = check_rate(rate)
    return rate >= 1 or (rate > 0 and position(key) < rate)


def check_rate(rate: object, what: str = "sampling") -> float:
    """The rate as a float.

    Raises:
        SettingsError: it is no number from 0 to 1.
    """
    if isinstance(rate, Real) and not isinstance(rate, bool):
        with suppress(OverflowError):  # an int too large for a float
            number = float(rate)
            if 0 <= number <= 1:  # NaN is not: it compares with nothing
                return number
    raise SettingsError(f"{what} is {rate!r}; it must be a number from 0 (nothing) to 1 (everything)")


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares of requests that are published, at one moment.

    Attributes:
        rate: Of all requests.
        segments: Of those in a segment, by `name=value`, such as {"country=BR": 1.0}. A request in
            several, or in one whose rate is below that of all, is sampled at the largest of them.

    Raises:
        SettingsError: a rate is no number from 0 to 1, or a segment has another form.
    """

    rate: float = 1.0
    segments: Mapping[str, float] = field(default_factory=dict, hash=False)
    _by_name: Mapping[str, Mapping[str, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check_rate(self.rate, "the sampling rate"))
        object.__setattr__(self, "segments", _checked_segments(self.segments))
        by_name: dict[str, dict[str, float]] = {}
        for segment, rate in self.segments.items():
            name, _, value = segment.partition("=")
            by_name.setdefault(name, {})[value] = rate
        object.__setattr__(self, "_by_name", by_name)

    def of(self, segments: Mapping[str, Any] | None) -> float:
        """The rate of a request that is in these segments."""
        largest = self.rate
        if segments:
            for name, rates in self._by_name.items():
                value = segments.get(name)
                label = value if type(value) is str else label_of(value)
                if label is not None and (rate := rates.get(label)) is not None and rate > largest:
                    largest = rate
        return largest


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which requests a hook publishes.

    Attributes:
        rate: The share of all requests, from 0 to 1.
        segments: Other shares for rare cohorts, such as {"country=BR": 1.0}; the largest applies.
        by: What decides: `entity` (the request's id, where it has no entity), `request`, or a name of
            the request's context, such as `session_id` (where it has none: its entity or own id).
        file: A TOML file with `rate` and a table `[segments]`; looked at once a second, stronger than
            the rates above.
        control: Whether to follow the control topic, which is stronger than the file.

    Raises:
        SettingsError: one of them is not what it must be.
    """

    rate: float = 1.0
    segments: Mapping[str, float] = field(default_factory=dict, hash=False)
    by: str = "entity"
    file: str | os.PathLike[str] | None = None
    control: bool = False

    def __post_init__(self) -> None:
        rates = Rates(self.rate, self.segments)
        object.__setattr__(self, "rate", rates.rate)
        object.__setattr__(self, "segments", rates.segments)
        if not isinstance(self.by, str) or not self.by:
            raise SettingsError(f'sampling by {self.by!r}: use "entity", "request" or a name of the context')
        if self.file is not None:
            if not isinstance(self.file, (str, os.PathLike)) or not os.fspath(self.file):
                raise SettingsError(f"the sampling file is {self.file!r}; it must be a path")
            # A service that becomes a daemon changes its folder.
            object.__setattr__(self, "file", Path(self.file).absolute())
        if not isinstance(self.control, bool):
            raise SettingsError(f"sampling's control is {self.control!r}; it must be True or False")

    @classmethod
    def of(cls, value: object) -> Sampling:
        """What a hook was given: a Sampling, or the rate alone.

        Raises:
            SettingsError: it is neither.
        """
        return value if isinstance(value, Sampling) else cls(check_rate(value))

    @property
    def rates(self) -> Rates:
        """The rates as they are written here."""
        return Rates(self.rate, self.segments)

    def key(self, request_id: str, entity_id: str | None, context: Mapping[str, Any] | None) -> str:
        """What decides whether a request is published."""
        if self.by == "request":
            return request_id
        if self.by != "entity" and context:
            named = label_of(context.get(self.by))
            if named:
                return named
        return entity_id or request_id


def label_of(value: object) -> str | None:
    """A segment's or context's value as the published request has it: True is "true"; else None."""
    plain = plain_value(value, deep=False)
    return label_text(plain) if isinstance(plain, (str, int)) else None


def _checked_segments(segments: object) -> dict[str, float]:
    """A copy, so that nobody changes it afterwards."""
    if not isinstance(segments, Mapping):
        raise SettingsError(f"the segments' rates are {segments!r}; write them as {{'country=BR': 1.0}}")
    for name in segments:
        if not isinstance(name, str) or not name.partition("=")[0] or "=" not in name:
            raise SettingsError(f"segment {name!r} has a rate; write name=value, such as country=BR")
    return {name: check_rate(rate, f"the rate of segment {name}") for name, rate in segments.items()}
