"""Which pictures stand in which section of the page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from shadowlane.aggregator.forms.charts._context import balance, coverage, features, freshness
from shadowlane.aggregator.forms.charts._distributions import distributions
from shadowlane.aggregator.forms.charts._frame import Picture
from shadowlane.aggregator.forms.charts._latency import latency
from shadowlane.aggregator.forms.charts._over_time import agreement, errors
from shadowlane.aggregator.forms.charts._segments import segment
from shadowlane.aggregator.forms.charts._truth import truth
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report


def pictures(report: Report, section: str, policy: Policy | None) -> tuple[Picture, ...]:
    """The pictures of one section of the page; none of most."""
    least_agreement = policy.min_agreement_rate if policy else None
    most_errors = policy.max_shadow_error_rate if policy else None
    name, _, number = section.partition("-")
    place = int(number) - 1 if number.isdigit() else 0
    drawn: dict[str, Iterator[Picture]] = {
        "balance": balance(report),
        "agreement": agreement(report, least_agreement),
        "errors": errors(report, most_errors),
        "latency": latency(report, policy.max_shadow_latency_p99_ms if policy else None),
        "predictions": distributions(report),
        "features": features(report),
        "freshness": freshness(report),
        "coverage": coverage(report),
    }
    if name == "segment":
        drawn[name] = segment(report, place, least_agreement, most_errors)
    if name == "truth":
        drawn[name] = truth(report, place)
    return tuple(chain(drawn.get(name, ())))
