"""Segments as intervals: each group's rate, and the whole as a line."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.charts._frame import MODELS, Picture, in_view, limit_sign
from shadowlane.aggregator.forms.charts._whiskers import Dot, Row, dot_of, whiskers
from shadowlane.aggregator.forms.content import all_groups, group_name
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Rate, Segment, SegmentGroup


def segment(
    report: Report, place: int, least_agreement: float | None, most_errors: float | None
) -> Iterator[Picture]:
    """Agreement, errors and correctness of one segment's groups."""
    found, key = report.segments[place], f"segment-{place + 1}"
    named = [(group_name(each, found), each) for each in all_groups(found)]
    agreement = [Row(name, _dots(each.agreement, each.agreement_rate, each.is_small)) for name, each in named]
    yield from _picture(f"{key}-agreement", "Agreement", agreement, report.agreement_rate, least_agreement)
    if any(each.errored for _, each in named):
        failing = [
            Row(name, _dots(each.errors, each.error_rate, each.is_small, "failed")) for name, each in named
        ]
        yield from _picture(f"{key}-errors", "Error rate", failing, report.error_rate, most_errors)
    yield from _correct(key, found, named)


def _dots(rate: Rate | None, value: float | None, is_small: bool, kind: str = "rate") -> tuple[Dot, ...]:  # noqa: FBT001 - of a group
    kind = "small" if is_small else kind
    if rate:
        return dot_of(rate, kind)
    return () if value is None else (Dot(value, value, value, kind),)


def _picture(
    key: str, title: str, rows: list[Row], whole: float | None, limit: float | None
) -> Iterator[Picture]:
    lines = [(whole, "whole")] if whole is not None else []
    ends = [end for row in rows for each in row.dots for end in (each.low, each.high)]
    is_drawn = in_view(limit, [*ends, *(value for value, _ in lines)])
    lines += [(limit, "limit")] if limit is not None and is_drawn else []
    drawing = whiskers(key, title, rows, lines=lines)
    if drawing:
        legend = [
            ("failed" if key.endswith("errors") else "rate", "rate and interval"),
            ("whole", "over all"),
        ]
        legend += limit_sign(limit, is_drawn=is_drawn)
        legend += [("small", "fewer than 100 requests")] * any(
            each.kind == "small" for row in rows for each in row.dots
        )
        yield Picture(title, tuple(legend), drawing)


def _correct(key: str, found: Segment, named: list[tuple[str, SegmentGroup]]) -> Iterator[Picture]:
    rows = [
        Row(name, (*dot_of(each.primary_correct, "primary"), *dot_of(each.shadow_correct, "shadow")))
        for name, each in named
    ]
    drawing = whiskers(f"{key}-correct", "Right, against labels", rows)
    if drawing and found.groups:
        yield Picture("Right, against labels", MODELS, drawing)
