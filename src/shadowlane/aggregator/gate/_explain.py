"""`shadowlane decisions explain`: a decision in sentences, from its record alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shadowlane.aggregator.gate._decisions import Decision
from shadowlane.aggregator.report import _values
from shadowlane.visible import visible

_OUTCOMES = {True: "passed", False: "failed", None: "cannot be said"}
_LONGEST = 2_000


def explain(decision: Decision, others: Sequence[Decision] = ()) -> list[str]:
    """What was decided, on what grounds, and what became of it, a paragraph each.

    Args:
        decision: Which one.
        others: Decisions among which those are that override it.
    """
    said = json.loads(decision.record)
    told = _of_override(decision, said) if decision.kind == "override" else _of_gate(decision, said)
    later = [each for each in others if each.overrides == decision.id]
    return [*told, *(_overridden(each) for each in sorted(later, key=lambda each: each.id))]


def _of_override(decision: Decision, said: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"On {_values.moment(decision.decided_at)} {visible(decision.decided_by or '')} set aside the "
        f"{visible(str(said['overridden_verdict']))} of decision {visible(decision.overrides or '')} on "
        f"{_who(decision)} and decided {decision.verdict.upper()}."
    )
    yield f"The reason given: {visible(decision.reason, _LONGEST)}"


def _overridden(later: Decision) -> str:
    return (
        f"It was overridden: on {_values.moment(later.decided_at)} {visible(later.decided_by or '')} "
        f"decided {later.verdict.upper()} in its place ({later.id}), with the reason: "
        f"{visible(later.reason, _LONGEST)}"
    )


def _of_gate(decision: Decision, said: Mapping[str, Any]) -> Iterator[str]:
    summary = said["report_summary"]
    yield (
        f"On {_values.moment(decision.decided_at)} shadowlane {visible(decision.software_version)} decided "
        f"{decision.verdict.upper()} on {_who(decision)}. "
        f"{visible(decision.reason, _LONGEST)}"
    )
    yield _scope(summary)
    for check in said["checks"]:
        outcome = "is not settled" if check["unsettled"] else _OUTCOMES[check["passed"]]
        yield f"{visible(check['name'])} {outcome}. {visible(check['why'], _LONGEST)}"
    for note in said["notes"]:
        yield f"To know: {visible(note, _LONGEST)}"
    asked = _criteria(said["policy"])
    yield f"The policy asked for {', '.join(asked)}; its digest is {visible(said['policy_digest'])}."
    versions = ", ".join(
        f"{visible(name)} {'absent' if version is None else f'@{version}'}"
        for name, version in said["table_versions"].items()
    )
    yield f"It rests on these versions of the lake's tables: {versions}."


def _scope(summary: Mapping[str, Any]) -> str:
    start, end = (_time(summary[name]) for name in ("window_start", "window_end"))
    window = f" from {start or 'the first'} to {end or 'the last'}" if start or end else ""
    where = f" where {visible(summary['where'], _LONGEST)}" if summary["where"] else ""
    if not summary["requests"]:
        return f"It looked at requests{window}{where}; there were none."
    first, last = _time(summary["first_request"]), _time(summary["last_request"])
    return (
        f"It looked at {_values.many(summary['requests'], 'request')}{window}{where}, made from {first} "
        f"to {last}: {summary['compared']:,} compared, {summary['errored']:,} failed."
    )


def _who(decision: Decision) -> str:
    return f"{visible(decision.model)} → {visible(decision.shadow)} (run {visible(decision.run)})"


def _time(text: str | None) -> str | None:
    return None if text is None else _values.moment(datetime.fromisoformat(text))


def _criteria(policy: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in policy.items():
        if isinstance(value, Mapping):
            found += _criteria(value, f"{prefix}{name}.")
        else:
            found.append(visible(f"{prefix}{name} = {json.dumps(value, ensure_ascii=False)}"))
    return found
