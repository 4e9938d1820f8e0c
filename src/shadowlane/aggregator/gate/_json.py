"""The gate's result as JSON: one object, `shadowlane.gate/1`; the same bytes for the same result.

It holds what `GateResult` holds, under the same names, the policy as its file has it, and besides:
`promote`, `reason`, `exit_code` and `policy_digest`. Rates are shares from 0 to 1, latencies milliseconds,
times ISO 8601 in UTC; what cannot be computed is null. New fields may be added under the same name.
"""

from __future__ import annotations

from dataclasses import fields

from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report._plain import dump, plain

SCHEMA = "shadowlane.gate/1"


def gate_to_json(result: GateResult) -> str:
    """The gate's result as JSON text."""
    own = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "id"}
    return dump(
        {
            "schema": SCHEMA,
            "id": result.id,
            "promote": result.promote,
            **plain(own | {"policy": result.policy.criteria}),
            "reason": result.reason,
            "exit_code": result.exit_code,
            "policy_digest": result.policy.digest,
        }
    )
