"""How often the two agree, by what, and when."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Section, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Agreement, NoiseFloor, Rate, TimePoint
from shadowlane.visible import visible

_RATE = ("agreements", "of", "rate", "interval")


def rate_cells(rate: Rate) -> tuple[str, str, str, str]:
    """A rate as four cells: part, whole, value and interval."""
    ends = _values.between(rate.interval, _values.percent)
    return _values.count(rate.part), _values.count(rate.whole), _values.percent(rate.value), ends


def agreement(report: Report) -> Iterator[Section]:
    """Agreement: by comparator, against noise, by tolerance, over time."""
    found = report.agreement
    if not found:
        return
    step = _values.seconds(found.step_seconds)
    lead = ["Over the compared requests that no rule ignores."]
    if len(found.over_time) > 1:
        lead.append(f"Over time in stretches of {step}, by when the requests were made.")
    yield Section(key="agreement", title="Agreement", lead=tuple(lead), tables=tuple(_tables(found)))


def _tables(found: Agreement) -> Iterator[Table]:
    rows = [("all", *rate_cells(found.rate))]
    if found.by_comparator:
        rows += [(visible(each.comparator, 60), *rate_cells(each.rate)) for each in found.by_comparator]
    yield table(("decided by", *right(*_RATE)), rows)
    if len(found.sampling_rates) > 1:
        sampled = [
            (_values.percent(rate), _values.count(requests)) for rate, requests in found.sampling_rates
        ]
        weighted = _values.percent(found.weighted)
        note = f"Each request counted as the 1/rate that it stands for, agreement is {weighted}."
        yield table(right("sampling rate", "requests"), sampled, title="Sampling", note=note)
    if found.noise_floor:
        yield _noise(found.noise_floor)
    if found.tolerance_curve:
        yield table(
            right("if a difference up to … agreed", "so many would"),
            [(_values.number(each.tolerance), _values.percent(each.rate)) for each in found.tolerance_curve],
            title="By tolerance",
            behind=True,
        )
    if len(found.over_time) > 1:
        yield table(
            ("from", *right("requests", "compared", "agreement", "errored", "error rate")),
            [_stretch(each) for each in found.over_time],
            title="Over time",
            behind=True,
        )


def _noise(floor: NoiseFloor) -> Table:
    excess, ends = _values.points(floor.excess), _values.between(floor.excess_interval, _values.points)
    of = floor.disagreement
    control = f"{visible(floor.shadow)}, run {visible(floor.run)}"
    return table(
        ("against the noise floor", *right("value", "interval")),
        [
            (
                f"the primary against itself ({control}) disagrees, of {of.whole:,}",
                _values.percent(of.value),
                _values.between(of.interval, _values.percent),
            ),
            ("the shadow disagrees beyond that", excess, ends),
            ("agreement less the noise", _values.percent(floor.corrected_agreement), ""),
        ],
        title="Noise floor",
    )


def _stretch(point: TimePoint) -> tuple[str, ...]:
    judged = point.compared - point.ignored
    return (
        f"{point.start:%Y-%m-%d %H:%M}",
        _values.count(point.requests),
        _values.count(point.compared),
        _values.percent(point.agreements / judged if judged else None),
        _values.count(point.errored),
        _values.percent(point.errored / point.requests if point.requests else None),
    )
