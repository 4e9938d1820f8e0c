"""What a plan is made from: the traffic, what must be found out, what things take and what they may cost.

Each value is checked where it is given: a wrong one is an error that names it and the nearest right one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from shadowlane.errors import SettingsError
from shadowlane.visible import visible


class Metric(StrEnum):
    """Which figure's smallest difference must be found."""

    agreement = "agreement"
    errors = "errors"
    correctness = "correctness"


@dataclass(frozen=True, slots=True)
class Range:
    """Which numbers a value may be."""

    low: float
    high: float
    is_open: bool = False  # whether `low` itself is not one
    is_whole: bool = False

    def __contains__(self, number: object) -> bool:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            return False
        above = number > self.low if self.is_open else number >= self.low
        return above and number <= self.high and (not self.is_whole or number == int(number))

    def __str__(self) -> str:
        kind = "a whole number" if self.is_whole else "a number"
        floor = f"above {self.low:g}" if self.is_open else f"from {self.low:g}"
        ceiling = f"{', at most' if self.is_open else ' to'} {self.high:,.15g}"
        return f"{kind} {floor}{ceiling}"

    def nearest(self, number: float, default: float | None) -> float | None:
        """The right value that was probably meant: 5 was 0.05 where a share is wanted."""
        if not math.isfinite(number):
            return default
        if self.high <= 1 < number <= 100:  # noqa: PLR2004 - per cent
            number /= 100
        number = min(max(number, self.low), self.high)
        if self.is_whole:
            number = math.ceil(number)
        return number if number in self else default


_SHARE = Range(0, 1)
_SOME_SHARE = Range(0, 1, is_open=True)
_POSITIVE = Range(0, 1e9, is_open=True)
_AMOUNT = Range(0, 1e12)
_COUNT = Range(1, 1e12, is_whole=True)


def _number(allowed: Range, default: float | None = None) -> Any:
    return field(default=default, metadata={"range": allowed})


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that matters: its share of the requests, and a sampling rate of its own where it has one."""

    name: str
    share: float
    sampling: float | None = None

    def __post_init__(self) -> None:
        shown = visible(self.name)
        if not 0 < self.name.find("=") < len(self.name) - 1:
            raise SettingsError(f"segment {shown!r}: a name and its value are wanted, such as country=IT")
        _check(f"the share of segment {shown}", self.share, _SOME_SHARE, None)
        if self.sampling is not None:
            _check(f"the sampling of segment {shown}", self.sampling, _SHARE, None)


class _Checked:
    """A group of values, each in its range."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]  # its subclasses are dataclasses
            value = getattr(self, each.name)
            if "range" in each.metadata and value is not None:
                _check(each.name, value, each.metadata["range"], _default(each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic(_Checked):
    """The requests: how many, how many at the busiest hour, which share is replayed, whose they are."""

    requests_per_second: float = _number(_POSITIVE)
    peak_factor: float = _number(Range(1, 1e4), 2.0)
    sampling: float | None = _number(_SOME_SHARE)
    segments: tuple[Segment, ...] = ()
    #: Of the requests that are replayed, the share that yields a comparison.
    usable: float = _number(_SOME_SHARE, 1.0)
    #: How many times as many requests are needed because one user's are alike.
    design_effect: float = _number(Range(1, 1e6), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim(_Checked):
    """What must be found out, and how surely."""

    metric: Metric = Metric.agreement
    rate: float = _number(_SHARE, 0.95)
    difference: float = _number(Range(1e-6, 1), 0.01)
    segment_difference: float | None = _number(Range(1e-6, 1))
    level: float = _number(Range(0.5, 0.999999), 0.95)
    power: float = _number(Range(0.5, 0.9999), 0.8)
    is_anytime: bool = False
    min_requests: int = _number(_COUNT, 10_000)
    min_segment_requests: int = _number(_COUNT, 10_000)
    cycle_days: int = _number(Range(1, 366, is_whole=True), 7)
    #: How far from the 99th percentile the ends of p99's interval may lie, as a share of the requests.
    latency_precision: float = _number(Range(0.0001, 0.01), 0.002)

    def __post_init__(self) -> None:
        # `super()` finds its class no more in one that has slots.
        _Checked.__post_init__(self)
        object.__setattr__(self, "metric", _metric(self.metric))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth(_Checked):
    """The labels: for which share of the requests they come, how late, and where the models differ."""

    label_coverage: float = _number(_SOME_SHARE, 1.0)
    label_delay_days: float = _number(Range(0, 3650), 0.0)
    #: The share of the requests on which just one of the two is right.
    discordance: float = _number(_SOME_SHARE, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(_Checked):
    """What a request takes."""

    cpu_ms: float | None = _number(Range(0, 1e7, is_open=True))
    #: How long a request keeps a worker busy; the processor's time where nobody says.
    latency_ms: float | None = _number(Range(0, 1e7, is_open=True))
    utilization: float = _number(_SOME_SHARE, 0.7)
    comparison_bytes: float = _number(_POSITIVE, 150.0)
    request_bytes: float = _number(_POSITIVE, 1_000.0)
    replication: int = _number(Range(1, 16, is_whole=True), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices(_Checked):
    """What things cost, in a currency of your own, and what all may cost, and last."""

    cost_per_1000: float | None = _number(_AMOUNT)
    core_hour: float = _number(_AMOUNT, 0.04)
    gb_month: float = _number(_AMOUNT, 0.023)
    keep_days: int = _number(Range(0, 36_500, is_whole=True), 90)
    budget: float | None = _number(Range(0, 1e15, is_open=True))
    deadline_days: float | None = _number(Range(0, 36_500, is_open=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All of it, and where each value comes from: an option, the lake, or the default.

    Raises:
        SettingsError: a value cannot be, alone or beside another; it says which, and the nearest right one.
    """

    traffic: Traffic
    aim: Aim = field(default_factory=Aim)
    truth: Truth = field(default_factory=Truth)
    resources: Resources = field(default_factory=Resources)
    prices: Prices = field(default_factory=Prices)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_difference("difference", self.aim.difference, self.aim, self.truth)
        if self.aim.segment_difference is not None:
            _check_difference("segment_difference", self.aim.segment_difference, self.aim, self.truth)
        names = [each.name for each in self.traffic.segments]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SettingsError(f"segment {visible(twice)} is there twice; name it once")

    @classmethod
    def of(cls, given: Mapping[str, Any], measured: Mapping[str, Any] | None = None) -> Inputs:
        """From values by their names: what is given counts before what was measured, then the defaults.

        Raises:
            SettingsError: a value is wrong, has an unknown name, or is missing.
        """
        measured = measured or {}
        values = {**measured, **{name: value for name, value in given.items() if value is not None}}
        groups: dict[str, Any] = {}
        if "requests_per_second" not in values:
            raise SettingsError(
                "how many requests a second there are is missing: give --requests-per-second,"
                " or --from-lake with --model and --shadow"
            )
        for name, group in _GROUPS.items():
            known = {each.name for each in fields(group)}
            groups[name] = group(**{key: values.pop(key) for key in known & values.keys()})
        if values:
            raise SettingsError(f"there is no value {next(iter(values))!r} in a plan")
        chosen = {name for name, value in given.items() if value is not None}
        sources = dict.fromkeys(measured, "lake") | dict.fromkeys(chosen, "option")
        return cls(**groups, sources=sources)

    @property
    def cost_per_1000(self) -> float | None:
        """What a thousand inferences cost: as given, or the processor's time at its price."""
        if self.prices.cost_per_1000 is not None:
            return self.prices.cost_per_1000
        cpu = self.resources.cpu_ms
        return None if cpu is None else cpu / 3_600 * self.prices.core_hour


_GROUPS: Mapping[str, Any] = {
    "traffic": Traffic,
    "aim": Aim,
    "truth": Truth,
    "resources": Resources,
    "prices": Prices,
}


def widest_difference(aim: Aim, truth: Truth) -> float:
    """The largest difference that the figure can have at all."""
    if aim.metric is Metric.correctness:
        return truth.discordance
    return aim.rate if aim.metric is Metric.agreement else 1 - aim.rate


def _check_difference(name: str, difference: float, aim: Aim, truth: Truth) -> None:
    widest = widest_difference(aim, truth)
    if difference <= widest:
        return
    why = {
        Metric.agreement: f"agreement is {aim.rate:g} and cannot fall by more",
        Metric.errors: f"the error rate is {aim.rate:g} and cannot rise by more",
        Metric.correctness: f"just one of the two is right on {truth.discordance:g} of the requests",
    }[aim.metric]
    raise SettingsError(f"{name} = {difference:g}: at most {widest:g} is possible, as {why}")


def _metric(name: str) -> Metric:
    try:
        return Metric(name)
    except ValueError:
        near = get_close_matches(str(name), [each.value for each in Metric], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"metric = {name!r}: agreement, errors or correctness is wanted{hint}") from None


def _default(each: Field[Any]) -> float | None:
    return each.default if isinstance(each.default, (int, float)) else None


def _check(name: str, value: Any, allowed: Range, default: float | None) -> None:
    if value in allowed:
        return
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    near = allowed.nearest(number, default)
    hint = "" if near is None else f"; did you mean {near:g}?"
    raise SettingsError(f"{name} = {value!r}: {allowed} is wanted{hint}")
