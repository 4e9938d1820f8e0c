"""`shadowlane decisions verify`: a decision made again, from the same versions of the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shadowlane import __version__
from shadowlane.aggregator.gate._decisions import Decision, find
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.gate._json import gate_to_json
from shadowlane.aggregator.gate._judge import judge
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._scope import Scope
from shadowlane.errors import SettingsError
from shadowlane.lake import Lake
from shadowlane.visible import visible

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a decision's record is what comes out again; else what does not fit, in sentences."""

    decision: Decision
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults


def verify(lake: Lake, decision: Decision) -> Verification:
    """Make a decision again, to the same bytes; of an override, see what it stands in the place of.

    Raises:
        VersionGoneError: the lake no longer has the versions that it rests on.
        DamagedLakeError: a file that it rests on is gone, cut or altered.
        LakeError: what it overrides is not there.
    """
    if not decision.is_whole:
        return Verification(decision, ("The record is not the one that was written: it was altered.",), ())
    if decision.kind == "override":
        return _verify_override(lake, decision)
    try:
        again = _made_again(lake, json.loads(decision.record))
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        said = f"The record cannot be read by this version: {visible(str(error), 400)}."
        return Verification(decision, (said,), tuple(_notes(decision)))
    faults = () if again == decision.record else tuple(_differences(decision.record, again))
    return Verification(decision, faults, tuple(_notes(decision)))


def _verify_override(lake: Lake, decision: Decision) -> Verification:
    said = json.loads(decision.record)
    overridden = find(lake, decision.overrides or "")
    if (
        overridden.record_sha256 != said["overridden_sha256"]
        or overridden.verdict != said["overridden_verdict"]
    ):
        fault = f"The decision that it overrides, {overridden.id}, is not the one of then: it was altered."
        return Verification(decision, (fault,), ())
    below = verify(lake, overridden)
    faults = tuple(f"What it overrides, {overridden.id}: {fault}" for fault in below.faults)
    return Verification(decision, faults, below.notes)


def _made_again(lake: Lake, said: dict[str, Any]) -> str:
    summary = said["report_summary"]
    scope = Scope(
        summary["model"],
        summary["shadow"],
        summary["run"],
        _moment(summary["window_start"]),
        _moment(summary["window_end"]),
        summary["where"],
    )
    policy = Policy.of(said["policy"])
    decided_at = _moment(said["decided_at"])
    if decided_at is None:
        raise ValueError("it has no time")
    result: GateResult = judge(lake, scope, policy, decided_at, id=said["id"], at=said["table_versions"])
    return gate_to_json(replace(result, software_version=said["software_version"]))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _notes(decision: Decision) -> Iterator[str]:
    if decision.software_version != __version__:
        yield (
            f"It was made by shadowlane {visible(decision.software_version)} and is made again by "
            f"{__version__}, which may count or say things otherwise."
        )


def _differences(before: str, after: str) -> Iterator[str]:
    """Where two records differ, by the names of their fields."""
    places = [*_places(json.loads(before), json.loads(after), "")]
    if not places:
        yield "The record has the same fields and values in other bytes: it was written anew."
        return
    more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
    yield f"Made again, it differs in {', '.join(places[:_SHOWN])}{more}."


def _places(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _places(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            name = one.get("name", place) if isinstance(one, dict) else place
            yield from _places(one, other, f"{path}[{name}]")
    elif before != after:
        yield visible(path, 80)
