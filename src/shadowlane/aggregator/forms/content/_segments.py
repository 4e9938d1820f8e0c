"""The figures by segment, and the groups that stand out."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Column, Section, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Rate, Segment, SegmentGroup, Standout
from shadowlane.visible import visible

_NONE = "(none)"
_LONGEST = 60


def segments(report: Report) -> Iterator[Section]:
    """Every segment that was asked for; what stands out in any of them first."""
    if report.standouts:
        yield Section(
            key="standouts",
            title="Groups that stand out",
            lead=("Worse than the whole lets one think; the p-values are corrected for all that was tried.",),
            tables=(_standouts(report.standouts),),
            brief=True,
        )
    for place, segment in enumerate(report.segments):
        yield Section(
            key=f"segment-{place + 1}",
            title=f"By {visible(segment.name, _LONGEST)}",
            lead=tuple(_lead(segment)),
            tables=tuple(_tables(segment)),
        )


def _lead(segment: Segment) -> Iterator[str]:
    known = f"{_values.many(segment.values, 'value')}, the" if segment.values is not None else "The"
    yield f"{known} worst first; rates of small groups say little."
    if segment.note:
        yield visible(segment.note, 400)


def group_name(group: SegmentGroup, segment: Segment) -> str:
    """What a group is called: its value, that it has none, or that it is the rest."""
    if group is segment.other:
        return "(all others)"
    return _NONE if group.value is None else visible(group.value, _LONGEST) or "(empty)"


def all_groups(segment: Segment) -> tuple[SegmentGroup, ...]:
    """The groups and, last, the rest."""
    return (*segment.groups, *([segment.other] if segment.other else []))


def _standouts(found: tuple[Standout, ...]) -> Table:
    return table(
        (Column("group", "data"), "figure", *right("group", "all", "requests", "share", "p")),
        [
            (
                visible(each.name, 2 * _LONGEST)
                or f"{visible(each.segment, _LONGEST)} = {visible(each.value or _NONE, _LONGEST)}",
                visible(each.figure),
                _written(each, each.group),
                _written(each, each.whole),
                _values.count(each.requests),
                _values.percent(each.share, 1),
                _values.p_value(each.p_value),
            )
            for each in found
        ],
    )


def _written(standout: Standout, value: float) -> str:
    if standout.figure == "latency":
        return _values.milliseconds(value)
    is_difference = standout.figure in ("correctness", "mix")
    return _values.points(value) if is_difference else _values.percent(value)


def _tables(segment: Segment) -> Iterator[Table]:
    groups = all_groups(segment)
    name = Column(visible(segment.name, _LONGEST), "data")
    yield table(
        # The first columns are those that a narrow terminal keeps.
        (name, *right("requests", "agreement", "error rate", "interval", "p", "errors")),
        [
            (
                group_name(each, segment) + (" (small)" if each.is_small else ""),
                _values.count(each.requests),
                _values.percent(each.agreement_rate),
                _values.percent(each.error_rate),
                _ends(each.agreement),
                _values.p_value(each.agreement_p),
                _values.count(each.errored),
            )
            for each in groups
        ],
    )
    more = [(group_name(each, segment), *_more(each)) for each in groups]
    if any(cell != _values.NOTHING for row in more for cell in row[1:]):
        names = (
            "errors p",
            "primary p50",
            "shadow p50",
            "primary p99",
            "shadow p99",
            "distance",
            "difference",
        )
        yield table((name, *right(*names)), more, title="Latency and scores")
    right_ones = [(group_name(each, segment), *_truth(each)) for each in groups]
    if any(cell != _values.NOTHING for row in right_ones for cell in row[1:]):
        heads = ("labelled", "primary right", "shadow right", "only primary", "only shadow", "p")
        yield table((name, *right(*heads)), right_ones, title="Against labels")


def _ends(rate: Rate | None) -> str:
    return _values.between(rate.interval if rate else None, _values.percent)


def _more(each: SegmentGroup) -> tuple[str, ...]:
    return (
        _values.p_value(each.errors_p),
        _values.milliseconds(each.primary_p50_ms),
        _values.milliseconds(each.shadow_p50_ms),
        _values.milliseconds(each.primary_p99_ms),
        _values.milliseconds(each.shadow_p99_ms),
        _values.distance(each.distance),
        _values.signed(each.mean_difference),
    )


def _truth(each: SegmentGroup) -> tuple[str, ...]:
    primary, shadow = each.primary_correct, each.shadow_correct
    return (
        _values.count(shadow.whole if shadow else None),
        _values.percent(primary.value if primary else None),
        _values.percent(shadow.value if shadow else None),
        _values.count(each.only_primary_correct),
        _values.count(each.only_shadow_correct),
        _values.p_value(each.correct_p),
    )
