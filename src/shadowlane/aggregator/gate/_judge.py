"""A verdict on what is in the lake: the report's sections that a policy needs are read, and decided on."""

from __future__ import annotations

from datetime import datetime

from shadowlane.aggregator.gate._checks import needed_sections
from shadowlane.aggregator.gate._gate import GateResult, decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.errors import SettingsError
from shadowlane.lake import Lake, Versions
from shadowlane.lake.sql import columns_of

_JUDGED = {"agreement", "difference", "comparator"}
_OF_THE_SHADOW = ("shadow_score", "shadow_label", "shadow_vector", "shadow_ranking", "shadow_latency")


def judge(
    lake: Lake,
    scope: Scope,
    policy: Policy,
    decided_at: datetime,
    *,
    id: str | None = None,  # noqa: A002 - the result's field
    at: Versions | None = None,
) -> GateResult:
    """What the policy says of the lake, as it is or was at these versions of its tables.

    Raises:
        SettingsError: no request has a segment that the policy names.
        DamagedLakeError: a file that a table lists is gone, cut or altered; it says which.
        VersionGoneError: a version cannot be had any more.
    """
    _check_scope(scope)
    noise = policy.noise
    report = read_report(
        lake,
        scope,
        by=policy.segments.names if policy.segments else (),
        control=Control(noise.control, noise.control_run) if noise else None,
        sections=needed_sections(policy),
        confidence=policy.confidence,
        threshold=policy.labels.threshold if policy.labels else None,
        at=at,
    )
    return decide(report, policy, decided_at, id=id)


def _check_scope(scope: Scope) -> None:
    """Refuse to judge requests that were picked by what is judged of them."""
    named = columns_of(scope.where) if scope.where else frozenset()
    judged = sorted(each for each in named if each in _JUDGED or each.startswith(_OF_THE_SHADOW))
    if judged:
        raise SettingsError(
            f"a gate does not pick requests by what it judges: {', '.join(judged)}; a condition may speak of "
            "segments, features, times, users and the primary's answer (a report takes any)"
        )
