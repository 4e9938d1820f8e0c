"""The gate's checks, in their order, and which of a report's sections they need."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.gate import _defaults
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._further import further
from shadowlane.aggregator.gate._labels import labels
from shadowlane.aggregator.gate._look import Look
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.gate._segments import segments
from shadowlane.aggregator.report._report import Report


def run_checks(report: Report, policy: Policy) -> tuple[Check, ...]:
    """Every check: the five, the traffic's first, and those asked for."""
    look = Look(report, policy)
    return (
        _defaults.traffic(look),
        _defaults.agreement(look),
        _defaults.latency(look),
        _defaults.errors(look),
        _defaults.distribution(look),
        *further(look),
        *(segments(look, policy.segments) if policy.segments else ()),
        *(labels(look, policy.labels) if policy.labels else ()),
    )


def needed_sections(policy: Policy) -> frozenset[str]:
    """The sections of a report that a policy's checks look at; reading no others makes a gate fast."""
    return frozenset(_needed(policy))


def _needed(policy: Policy) -> Iterator[str]:
    yield from ("totals", "latency", "distributions")
    for name in ("segments", "features", "coverage", "completeness", "resources"):
        if getattr(policy, name):
            yield name
    if policy.noise:
        yield "agreement"
    if policy.labels or (policy.segments and policy.segments.max_correctness_loss is not None):
        yield "truth"
    if policy.confidence is not None:
        yield "clusters"
