"""The figures by segment: of all that there are, of those asked for, and the groups that stand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._asked import Asked, Part, asked
from shadowlane.aggregator.report._cohorts import (
    MOST_NAMES,
    MOST_VALUES,
    OTHER,
    Cohorts,
    Tally,
)
from shadowlane.aggregator.report._groups import Group, are_all_crossed, crossings, singles, whole_of
from shadowlane.aggregator.report._mix import mix_shifts
from shadowlane.aggregator.report._rates import rate_of
from shadowlane.aggregator.report._standouts import Finding, judge, standouts
from shadowlane.aggregator.report.figures import SMALL_GROUP, Segment, SegmentGroup, Standout, Term
from shadowlane.aggregator.statistics import rate
from shadowlane.lake import OpenLake


@dataclass(frozen=True, slots=True)
class Looked:
    """What the segments say: those asked for, in that order, all that were found, and what stands out."""

    asked: tuple[Segment, ...]
    found: tuple[Segment, ...]
    standouts: tuple[Standout, ...]
    notes: tuple[str, ...]  # what was not looked at


def look(
    lake: OpenLake,
    cohorts: Cohorts,
    by: Sequence[str] = (),
    *,
    edges: tuple[float, ...] = (),
    in_detail: bool = True,
) -> Looked:
    """The figures by segment.

    Args:
        lake: The lake, loaded.
        cohorts: Its requests, as `cohorts()` counted them.
        by: Names of segments, or of features as `feature:NAME`, to tell more of.
        edges: The bins of the report's scores.
        in_detail: With latencies and distances, which take a pass for each name.

    Raises:
        SettingsError: no request has a segment, or feature, of a name in `by`.
    """
    counted = cohorts.names if cohorts.sampled is None else ()
    wanted = {name: asked(lake, name, cohorts, edges) for name in by if in_detail or name not in counted}
    whole = whole_of(cohorts)
    every = singles(cohorts)
    more = [group for name, each in wanted.items() if name not in counted for group in _groups(each)]
    findings = judge([*every, *more], crossings(cohorts))
    p_values = {each.group.terms: each.p_values for each in findings}
    found = _found(cohorts, findings[: len(every)])
    segments = {each.name: each for each in found}
    segments |= {name: _asked_segment(each, p_values) for name, each in wanted.items()}
    return Looked(
        asked=tuple(segments[name] for name in dict.fromkeys(by)),
        found=found,
        standouts=(*standouts(findings, cohorts, whole), *mix_shifts(cohorts, whole)),
        notes=_notes(cohorts),
    )


def _found(cohorts: Cohorts, findings: Sequence[Finding]) -> tuple[Segment, ...]:
    """Every segment, from the findings over its values alone."""
    groups: dict[str, list[tuple[Term, SegmentGroup]]] = {name: [] for name in cohorts.names}
    for finding in findings:
        [term] = finding.group.terms
        groups[term.segment].append((term, _group(term.value, finding.group.tally, finding.p_values)))
    return tuple(
        _segment(name, of_name, cohorts.variety[name], _note(cohorts, name))
        for name, of_name in groups.items()
    )


def _note(cohorts: Cohorts, name: str) -> str:
    variety = cohorts.variety[name]
    if variety is None:
        return (
            f"Too many different requests to count each value: those are shown that are frequent among "
            f"{_values.many(cohorts.sampled or 0, 'sampled request')}; all others are added up."
        )
    return _cut(variety)


def _cut(variety: int) -> str:
    if variety <= MOST_VALUES:
        return ""
    return (
        f"{MOST_VALUES} of {variety:,} values are shown, those of the most requests; the others are added up."
    )


def _notes(cohorts: Cohorts) -> tuple[str, ...]:
    notes = []
    if cohorts.unnamed:
        notes.append(
            f"{_values.many(cohorts.unnamed, 'segment')} beyond the {MOST_NAMES} most frequent ones "
            "not looked at; ask for one by its name."
        )
    if not are_all_crossed(cohorts):
        notes.append("The segments have too many combinations: not every two of them were crossed.")
    return tuple(notes)


def _term(each: Asked, place: int) -> Term:
    value = each.values[place] if place < len(each.values) else None
    return Term(segment=each.name, value=value, is_other=place == OTHER)


def _groups(each: Asked) -> list[Group]:
    whole = Tally.sum(part.tally for part in each.parts.values())
    return [Group((_term(each, place),), part.tally, (whole,)) for place, part in sorted(each.parts.items())]


def _asked_segment(each: Asked, p_values: Mapping[tuple[Term, ...], tuple[float | None, ...]]) -> Segment:
    groups = []
    for place, part in sorted(each.parts.items()):
        term = _term(each, place)
        groups.append((term, _detailed(_group(term.value, part.tally, p_values[(term,)]), part)))
    cut = _cut(each.variety or 0)
    return _segment(each.name, groups, each.variety, " ".join(filter(None, (cut, each.note))))


def _segment(
    name: str, groups: Sequence[tuple[Term, SegmentGroup]], variety: int | None, note: str
) -> Segment:
    return Segment(
        name=name,
        groups=tuple(sorted((group for term, group in groups if not term.is_other), key=_worst_first)),
        other=next((group for term, group in groups if term.is_other), None),
        values=variety,
        note=note,
    )


def _worst_first(group: SegmentGroup) -> tuple[bool, bool, float, int, bool, str]:
    """By the share of the requests that the shadow answered as the primary did; small groups come last."""
    agreed, whole = group.agreement.part if group.agreement else 0, group.errored
    whole += group.agreement.whole if group.agreement else 0
    share = agreed / whole if whole else 0.0
    return group.is_small, not whole, share, -group.requests, group.value is None, group.value or ""


def _group(value: str | None, tally: Tally, p_values: Sequence[float | None]) -> SegmentGroup:
    decided, errored = tally.compared - tally.ignored, tally.requests - tally.compared
    agreement_p, errors_p, correct_p = p_values
    has_outcome = tally.judged > 0
    return SegmentGroup(
        value=value,
        requests=tally.requests,
        compared=tally.compared,
        agreement_rate=rate(tally.agreements, decided),
        errored=errored,
        error_rate=rate(errored, tally.requests),
        is_small=tally.requests < SMALL_GROUP,
        agreement=rate_of(tally.agreements, decided),
        errors=rate_of(errored, tally.requests),
        mean_difference=tally.difference / tally.scored if tally.scored else None,
        primary_correct=rate_of(tally.primary_right, tally.judged) if has_outcome else None,
        shadow_correct=rate_of(tally.shadow_right, tally.judged) if has_outcome else None,
        only_primary_correct=tally.only_primary if has_outcome else None,
        only_shadow_correct=tally.only_shadow if has_outcome else None,
        correct_p=correct_p,
        agreement_p=agreement_p,
        errors_p=errors_p,
    )


def _detailed(group: SegmentGroup, part: Part) -> SegmentGroup:
    primary, shadow = part.primary_ms or (None, None), part.shadow_ms or (None, None)
    return replace(
        group,
        primary_p50_ms=primary[0],
        primary_p99_ms=primary[1],
        shadow_p50_ms=shadow[0],
        shadow_p99_ms=shadow[1],
        distance=part.distance,
    )
