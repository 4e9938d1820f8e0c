"""A verdict on what is in the lake: the report's sections that a policy needs are read, and decided on."""

from __future__ import annotations

from datetime import datetime

from shadowlane.aggregator.gate._checks import needed_sections
from shadowlane.aggregator.gate._gate import GateResult, decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.lake import Lake, Versions


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
