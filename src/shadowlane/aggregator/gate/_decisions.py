"""Decisions as they are kept in the lake: each a row, with its record byte for byte; none is ever changed."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, Literal

import pyarrow as pa

from shadowlane import __version__
from shadowlane.aggregator.gate._gate import GateResult, Verdict
from shadowlane.aggregator.gate._json import gate_to_json
from shadowlane.aggregator.report._plain import dump, plain
from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake import DECISIONS, Everything, Lake, LakeTable, OpenLake, TakenOverError, read_lake

OVERRIDE_SCHEMA = "shadowlane.override/1"

#: One position for all decisions: of two that are recorded at once, one waits for the other.
_APP_ID = "shadowlane/decisions"
_TRIES = 30
_LONGEST = 2_000
# Without letters that are taken for another: of the same length for centuries, so in the order of time.
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LOAD = """
CREATE OR REPLACE TEMP TABLE decision AS
SELECT decision_id, epoch_us(decided_at) AS decided_us, kind, verdict, model, shadow, run,
  overrides, decided_by, reason, policy_digest, software_version, record, record_sha256
FROM read_parquet($files, hive_partitioning = true, hive_types = {'model': VARCHAR, 'date': VARCHAR},
  union_by_name = true)
"""
_ALL = "FROM decision ORDER BY decision_id DESC, record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, and the record of it as it was printed."""

    id: str
    decided_at: datetime
    kind: Literal["gate", "override"]
    verdict: Verdict
    model: str
    shadow: str
    run: str
    overrides: str | None
    decided_by: str | None
    reason: str
    policy_digest: str | None
    software_version: str
    record: str
    record_sha256: str

    @property
    def is_whole(self) -> bool:
        """Whether the record is the one that was written, and says what the row says."""
        return self.record_sha256 == sha256(self.record) and _row_says(self) == _record_says(self.record)


def sha256(text: str) -> str:
    """A text's hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def new_id(decided_at: datetime) -> str:
    """A short id; one of a later millisecond comes later in the alphabet."""
    milliseconds = (decided_at - _EPOCH) // timedelta(milliseconds=1)
    when = "".join(_LETTERS[milliseconds >> shift & 31] for shift in range(40, -1, -5))
    return when + "".join(secrets.choice(_LETTERS) for _ in range(4))


def record(lake: Lake, result: GateResult) -> Decision:
    """Keep what the gate said; a result without an id gets one.

    Raises:
        LakeError: the lake cannot be written.
    """
    summary, id_ = result.report_summary, result.id or new_id(result.decided_at)
    result = replace(result, id=id_)
    decision = Decision(
        id=id_,
        decided_at=result.decided_at,
        kind="gate",
        verdict=result.verdict,
        model=str(summary["model"]),
        shadow=str(summary["shadow"]),
        run=str(summary["run"]),
        overrides=None,
        decided_by=None,
        reason=result.reason,
        policy_digest=result.policy.digest,
        software_version=result.software_version,
        record=(text := gate_to_json(result)),
        record_sha256=sha256(text),
    )
    _append(lake, decision)
    return decision


def override(
    lake: Lake,
    decision: Decision,
    verdict: Literal["promote", "hold"],
    *,
    reason: str,
    by: str,
    now: datetime,
) -> Decision:
    """Put another verdict in a decision's place, with a reason and a name: a decision of its own.

    Raises:
        SettingsError: there is no reason, or nobody who gives it.
        LakeError: the lake cannot be written.
    """
    for name, text in (("reason", reason), ("by", by)):
        if not text.strip():
            raise SettingsError(f"an override needs a {name}: it stands in the record for whoever asks later")
        if len(text) > _LONGEST:
            raise SettingsError(f"the {name} is {len(text):,} letters long; {_LONGEST:,} are kept")
    said = {
        "schema": OVERRIDE_SCHEMA,
        "id": new_id(now),
        "overrides": decision.id,
        "overridden_verdict": decision.verdict,
        "overridden_sha256": decision.record_sha256,
        "verdict": verdict,
        "promote": verdict == "promote",
        "reason": reason.strip(),
        "decided_by": by.strip(),
        "model": decision.model,
        "shadow": decision.shadow,
        "run": decision.run,
        "software_version": __version__,
        "decided_at": now,
    }
    text = dump(plain(said))
    made = Decision(
        id=str(said["id"]),
        decided_at=now,
        kind="override",
        verdict=verdict,
        model=decision.model,
        shadow=decision.shadow,
        run=decision.run,
        overrides=decision.id,
        decided_by=by.strip(),
        reason=reason.strip(),
        policy_digest=None,
        software_version=__version__,
        record=text,
        record_sha256=sha256(text),
    )
    _append(lake, made)
    return made


def decisions(lake: Lake, *, model: str | None = None, shadow: str | None = None) -> list[Decision]:
    """The decisions, the newest first.

    Raises:
        DamagedLakeError: a file of theirs is gone, cut or altered.
    """
    every = read_lake(lake, Everything(model), (DECISIONS,), _rows)
    return [each for each in every if shadow in (None, each.shadow)]


def find(lake: Lake, id: str) -> Decision:  # noqa: A002 - the decision's field
    """One decision.

    Raises:
        LakeError: there is none of this id.
        DamagedLakeError: a file of theirs is gone, cut or altered.
    """
    every = decisions(lake)
    for each in every:
        if each.id == id.strip().lower():
            return each
    known = f"the newest is {every[0].id}" if every else "none has been recorded"
    raise LakeError(f"there is no decision of that id in the lake ({known}; see: shadowlane decisions list)")


def _append(lake: Lake, decision: Decision) -> None:
    values: dict[str, Any] = {
        "decision_id": decision.id,
        "date": decision.decided_at.astimezone(UTC).date(),
    }
    names = {*DECISIONS.schema.names} - values.keys()
    row = values | {name: getattr(decision, name) for name in names}
    rows = pa.Table.from_pylist([row], schema=DECISIONS.schema)
    table = LakeTable(lake, DECISIONS)
    for attempt in range(_TRIES):
        position = table.resume(_APP_ID)
        with suppress(TakenOverError):
            table.append(rows, {_APP_ID: (position or 0) + 1})
            return
        sleep(random.uniform(0, 0.05) * min(attempt + 1, 10))  # noqa: S311 - so that two do not meet again
    raise LakeError("the decision was not recorded: others recorded theirs all the while; try again")


def _rows(tables: OpenLake) -> list[Decision]:
    tables.load(DECISIONS.name, _LOAD, {})
    return [
        Decision(
            id=id_,
            decided_at=_EPOCH + timedelta(microseconds=microseconds),
            kind=kind,
            verdict=verdict,
            model=model,
            shadow=shadow,
            run=run,
            overrides=overrides,
            decided_by=decided_by,
            reason=reason,
            policy_digest=policy_digest,
            software_version=software_version,
            record=text,
            record_sha256=digest,
        )
        for (
            id_,
            microseconds,
            kind,
            verdict,
            model,
            shadow,
            run,
            overrides,
            decided_by,
            reason,
            policy_digest,
            software_version,
            text,
            digest,
        ) in tables.rows(_ALL)
    ]


def _row_says(decision: Decision) -> Mapping[str, object]:
    return {
        "id": decision.id,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "software_version": decision.software_version,
        "decided_at": plain(decision.decided_at),
        "overrides": decision.overrides,
        "decided_by": decision.decided_by,
        "policy_digest": decision.policy_digest,
        "names": [decision.model, decision.shadow, decision.run],
    }


def _record_says(text: str) -> Mapping[str, object] | None:
    """The same, by the record; None where it is no record at all."""
    with suppress(ValueError, TypeError, AttributeError):
        said = json.loads(text)
        names = said.get("report_summary", said)
        keys: Sequence[str] = [
            *("id", "verdict", "reason", "software_version", "decided_at"),
            *("overrides", "decided_by", "policy_digest"),
        ]
        return {key: said.get(key) for key in keys} | {
            "names": [names.get(key) for key in ("model", "shadow", "run")]
        }
    return None
