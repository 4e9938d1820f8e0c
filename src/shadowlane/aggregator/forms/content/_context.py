"""What the figures rest on: features, how fresh, at what cost, and over which days."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Column, Section, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Coverage, Freshness, Resources, Slice
from shadowlane.visible import visible

_MOST_FEATURES = 30
_MOST_DAYS = 400


def features(report: Report) -> Iterator[Section]:
    """The features that are not what they should be."""
    found = report.features
    if not found:
        return
    any_missing = found.requests_with_missing
    lead = (
        f"{_values.percent(any_missing.value)} of {any_missing.whole:,} requests lack a feature; known from "
        f"{visible(found.source)}."
    )
    rows = [
        (
            visible(each.name, 60),
            _values.count(each.missing.part),
            _values.percent(each.missing.value),
            _values.percent(each.missing_of_disagreements),
            _values.count(each.unexpected),
            _values.percent(each.fetched_differently.value if each.fetched_differently else None),
        )
        for each in found.features[:_MOST_FEATURES]
    ]
    more = found.others + max(0, len(found.features) - _MOST_FEATURES)
    names = ("missing", "of requests", "of disagreements", "unexpected", "fetched other")
    shown = table(
        (Column("feature", "data"), *right(*names)),
        rows,
        note=f"And {_values.many(more, 'more feature')}." if more > 0 else "",
    )
    yield Section(key="features", title="Features", lead=(lead,), tables=(shown,) if rows else ())


def freshness(report: Report) -> Iterator[Section]:
    """Replay lag, and whether hour and lag matter."""
    found = report.freshness
    if not found:
        return
    tables = []
    if any(each.requests for each in found.by_lag):
        tables.append(_slices(found.by_lag, "replay lag", "By replay lag", behind=False))
    if any(each.requests for each in found.by_hour):
        tables.append(_slices(found.by_hour, "hour (UTC)", "By hour of day", behind=True))
    yield Section(key="freshness", title="Freshness", lead=(_lag(found),), tables=tuple(tables))


def _lag(found: Freshness) -> str:
    lags = (found.lag_p50_ms, found.lag_p99_ms, found.lag_max_ms)
    p50, p99, longest = (_values.lag(each) for each in lags)
    return f"The shadow was asked after {p50} (median), {p99} (p99), {longest} (longest)."


def _slices(found: tuple[Slice, ...], name: str, title: str, *, behind: bool) -> Table:
    rows = [
        (
            visible(each.name, 40),
            _values.count(each.requests),
            _values.percent(each.agreement.value),
            _values.between(each.agreement.interval, _values.percent),
            _values.distance(each.distance),
        )
        for each in found
    ]
    columns = (name, *right("requests", "agreement", "interval", "distance"))
    return table(columns, rows, title=title, behind=behind)


def resources(report: Report) -> Iterator[Section]:
    """CPU, GPU and memory of the shadow."""
    found = report.resources
    if found and found.measured:
        rows = [row for row in _costs(found) if row[1] != _values.NOTHING]
        lead = f"What a request costs the shadow, measured on {found.measured:,}."
        shown = table(("figure", *right("value")), rows)
        yield Section(key="resources", title="Resources", lead=(lead,), tables=(shown,))


def _costs(found: Resources) -> Iterator[tuple[str, str]]:
    write = _values.milliseconds
    yield "CPU time, mean", write(found.cpu_mean_ms)
    yield "CPU time, median", write(found.cpu_p50_ms)
    yield "CPU time, p99", write(found.cpu_p99_ms)
    yield "GPU time, mean", write(found.gpu_mean_ms)
    for name, value in (("median", found.memory_p50_mb), ("highest", found.memory_max_mb)):
        yield f"memory, {name}", _values.NOTHING if value is None else f"{value:,.0f} MB"
    hours = found.cpu_hours
    yield "CPU hours over all these requests", _values.NOTHING if hours is None else _values.number(hours)
    yield "the primary's mean latency, the most that its CPU can have been", write(found.primary_busy_ms)


def coverage(report: Report) -> Iterator[Section]:
    """Days and hours with requests, against a full week."""
    found = report.coverage
    if found and found.days:
        days = [
            (f"{each.day:%Y-%m-%d %a}", _values.count(each.requests), f"{each.hours} of 24")
            for each in found.days[-_MOST_DAYS:]
        ]
        shown = table(("day (UTC)", *right("requests", "hours")), days, title="Day by day", behind=True)
        yield Section(key="coverage", title="Coverage", lead=tuple(_cycle(found)), tables=(shown,))


def _cycle(found: Coverage) -> Iterator[str]:
    yield (
        f"{_values.many(len(found.days), 'day')} with requests, {found.weekdays} of 7 weekdays, "
        f"{found.hours_of_week} of the 168 hours of a week: "
        + ("a full week." if found.is_full_week else "less than a full week.")
    )
    yield f"From {_values.moment(found.first)} to {_values.moment(found.last)}."
    if found.longest_gap_hours:
        yield f"The longest gap without any: {_values.many(found.longest_gap_hours, 'hour')}."
