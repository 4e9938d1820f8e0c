"""The gate: a report against a policy gives a verdict, which is recorded, explained and verified.

A verdict is made in `_gate.py` of the checks in `_checks.py`, each a criterion of the policy (`_policy.py`,
`_asked.py`); `_judge.py` reads what they need. Decisions are kept by `_decisions.py`.
"""

from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._checks import needed_sections
from shadowlane.aggregator.gate._decisions import Decision, decisions, find, new_id, override, record
from shadowlane.aggregator.gate._explain import explain
from shadowlane.aggregator.gate._gate import EXIT_CODES, GateResult, decide
from shadowlane.aggregator.gate._json import gate_to_json
from shadowlane.aggregator.gate._judge import judge
from shadowlane.aggregator.gate._junit import gate_to_junit
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.gate._verify import Verification, verify

__all__ = [
    "EXIT_CODES",
    "Check",
    "Decision",
    "GateResult",
    "Policy",
    "Verification",
    "decide",
    "decisions",
    "explain",
    "find",
    "gate_to_json",
    "gate_to_junit",
    "judge",
    "needed_sections",
    "new_id",
    "override",
    "record",
    "verify",
]
