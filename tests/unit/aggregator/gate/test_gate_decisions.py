"""Decisions in the lake: recorded once, made again to the same bytes, set aside only with a reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from shadowlane.aggregator.gate import (
    Decision,
    Policy,
    decisions,
    explain,
    find,
    gate_to_json,
    judge,
    new_id,
    override,
    record,
    verify,
)
from shadowlane.aggregator.gate._decisions import sha256
from shadowlane.aggregator.report._scope import Scope
from shadowlane.errors import DamagedLakeError, LakeError, SettingsError
from shadowlane.lake import COMPARISONS, DECISIONS, ERRORS, LABELS, VersionGoneError
from shadowlane.lake.care import CompactionPlan, VacuumPlan, compact, status, vacuum
from shadowlane.lake.sql import open_query
from unit.aggregator.gate.gate_lakes import POLICY, SCOPE, comparisons, decided, failing, filled, land
from unit.aggregator.gate.gate_reports import ASKED, NOW
from unit.aggregator.report_lake import NOON

ALL = Policy.of(
    {
        "min_requests": 100,
        "max_shadow_error_rate": 0.2,
        "confidence": 0.8,
        "max_latency_ratio": 3,
        "segments": {"names": ["country"], "min_agreement_rate": 0.8, "max_error_rate": 0.2},
    }
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake whose shadow is promoted."""
    return filled(tmp_path / "lake")


def test_a_decision_is_kept_as_it_was_printed(lake: Path) -> None:
    """The record has the bytes of the JSON; the row says the same for those who list."""
    result = judge(lake, SCOPE, POLICY, NOW, id=new_id(NOW))
    made = record(lake, result)
    [found] = decisions(lake)
    assert found == made == find(lake, f" {made.id.upper()} ")
    assert found.record == gate_to_json(result)
    assert (found.verdict, found.kind, found.is_whole) == ("promote", "gate", True)
    said = json.loads(found.record)
    assert said["id"] == found.id
    assert said["table_versions"]["comparisons"] == 2
    assert said["policy"]["min_requests"] == 100


def test_a_result_without_an_id_gets_one(lake: Path) -> None:
    """It is in the record, too, so that the decision comes out again."""
    made = record(lake, judge(lake, SCOPE, POLICY, NOW))
    assert (len(made.id), made.is_whole, verify(lake, made).holds) == (13, True, True)


def test_ids_are_short_and_in_the_order_of_time() -> None:
    """Two of one millisecond differ; one of a later millisecond comes later."""
    moments = [NOW + timedelta(milliseconds=each) for each in (0, 1, 2, 999, 86_400_000, 10**12)]
    made = [new_id(moment) for moment in moments]
    assert made == sorted(made)
    assert {len(each) for each in made} == {13}
    assert len({new_id(NOW) for _ in range(100)}) == 100


def test_there_may_be_none(tmp_path: Path, lake: Path) -> None:
    """A lake without decisions has none; one that is sought is said to be absent."""
    assert decisions(tmp_path / "nowhere") == []
    with pytest.raises(LakeError, match="none has been recorded"):
        find(lake, "1abc")
    made = decided(lake)
    with pytest.raises(LakeError, match=f"the newest is {made.id}"):
        find(lake, "1abc")


def test_decisions_are_listed_newest_first_and_by_scope(lake: Path) -> None:
    """Of the model and shadow asked for."""
    land(lake, comparisons(10, 5_000, model="other", shadow="s2"))
    results = [
        judge(lake, scope, POLICY, NOW + timedelta(hours=n), id=new_id(NOW + timedelta(hours=n)))
        for n, scope in enumerate([SCOPE, Scope("other", "s2"), SCOPE])
    ]
    made = [record(lake, each) for each in results]
    assert [each.id for each in decisions(lake)] == [each.id for each in reversed(made)]
    assert [each.id for each in decisions(lake, model="other")] == [made[1].id]
    assert [each.id for each in decisions(lake, shadow="challenger")] == [made[2].id, made[0].id]


_MANY = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from unit.aggregator.gate.gate_lakes import decided
print("ready", flush=True)
sys.stdin.readline()
for _ in range(6):
    print(decided(Path(sys.argv[1])).id)
"""


def test_two_processes_that_record_at_once_lose_nothing(lake: Path) -> None:
    """One waits for the other: each decision is there once, and whole."""
    tests = str(Path(__file__).parents[3])
    started: list[subprocess.Popen[str]] = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", _MANY, str(lake), tests],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    made = [line for process in started for line in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in started] == [0, 0]
    found = decisions(lake)
    assert sorted(each.id for each in found) == sorted(made)
    assert len(found) == 12
    assert all(each.is_whole for each in found)


@pytest.mark.parametrize("policy", [POLICY, Policy(), ALL], ids=["promote", "inconclusive", "all"])
def test_a_decision_comes_out_again(lake: Path, policy: Policy) -> None:
    """To the same bytes, also after more has landed, files were joined and others have decided."""
    land(lake, failing(20, 2_000), ERRORS)
    before = decided(lake, policy)
    assert verify(lake, before).holds
    land(lake, comparisons(500, 3_000))
    land(lake, failing(500, 4_000), ERRORS)
    after = decided(lake, policy)
    assert after.record != before.record
    joined = compact(CompactionPlan(lake))
    assert {each.table for each in joined if each.joined} == {"comparisons", "errors", "decisions"}
    assert len(DeltaTable(str(lake / "decisions")).file_uris()) == 1
    for each in decisions(lake):
        found = verify(lake, each)
        assert (found.holds, found.faults, found.notes) == (True, (), ())


def test_all_that_can_be_asked_for_comes_out_again(tmp_path: Path) -> None:
    """Labels, features, resources and segments over rows that come in any order, again and again."""
    random = np.random.default_rng(1)
    lake = tmp_path / "lake"
    for part in range(4):
        rows = comparisons(500, part * 500, missing_features=["age"], shadow_memory_mb=300.0)
        for row in rows:
            row |= {"primary_score": random.random(), "shadow_score": random.random()}
        land(lake, rows)
    said = {"name": "label", "observed_at": NOON + timedelta(days=1), "source": "test", "model": "ranker"}
    labels = [
        said | {"request_id": f"r{n}", "label_score": float(random.random() < 0.5), "date": NOON.date()}
        for n in range(2_000)
    ]
    land(lake, labels, LABELS)
    asked = {name: value for name, value in ASKED.items() if name != "noise"}
    made = decided(lake, Policy.of(asked | {"min_requests": 100, "confidence": 0.9}))
    states = {each["name"]: each["passed"] for each in json.loads(made.record)["checks"]}
    assert states["features_complete"] is False
    assert states["labels_sufficient"] is True
    assert [verify(lake, made).faults for _ in range(3)] == [()] * 3


def test_a_scope_with_a_window_and_a_condition_comes_out_again(lake: Path) -> None:
    """They are part of the record."""
    scope = Scope(
        "ranker",
        "challenger",
        start=NOON + timedelta(seconds=100),
        end=NOON + timedelta(seconds=900),
        where="primary_score > 0.2",
    )
    made = decided(lake, scope=scope)
    said = json.loads(made.record)["report_summary"]
    assert (said["where"], said["requests"]) == ("primary_score > 0.2", 632)
    land(lake, failing(30, 200), ERRORS)  # a table that was not there then
    assert verify(lake, made).holds


def test_no_data_is_a_decision_too(lake: Path) -> None:
    """It rests on the tables' versions as any other."""
    made = decided(lake, scope=Scope("ranker", "nobody"))
    assert made.verdict == "no_data"
    assert verify(lake, made).holds
    assert "there were none" in "\n".join(explain(made))


def test_a_version_that_a_vacuum_removed_is_said_to_be_gone(lake: Path) -> None:
    """The record stays; it can be read, and no longer made again."""
    made = decided(lake)
    compact(CompactionPlan(lake))
    vacuum(VacuumPlan(lake, keep=timedelta(0), force=True))
    with pytest.raises(VersionGoneError, match=r"files that comparisons @2 listed were removed"):
        verify(lake, made)
    assert find(lake, made.id) == made


def test_a_version_that_never_was_is_said_to_be_gone(lake: Path) -> None:
    """A lake that was made anew has not the versions of the old one."""
    made = decided(lake)
    shutil.rmtree(lake / "comparisons")
    with pytest.raises(VersionGoneError, match=r"version 2 of .*comparisons cannot be had any more"):
        verify(lake, made)
    land(lake, comparisons(10))
    with pytest.raises(VersionGoneError, match=r"version 2 of .*comparisons cannot be had any more"):
        verify(lake, made)


def test_data_that_was_exchanged_is_found(lake: Path) -> None:
    """The same version of other rows gives other figures: it says which differ."""
    made = decided(lake)
    shutil.rmtree(lake / "comparisons")
    land(lake, comparisons(500))
    land(lake, comparisons(500, 600))
    found = verify(lake, made)
    assert not found.holds
    assert "it differs in checks[latency_ok].value" in found.faults[0]


def test_data_that_was_altered_is_damage(lake: Path) -> None:
    """A file that is not what its name says, or is gone, is no ground for a verdict."""
    made = decided(lake)
    file = next((lake / "comparisons").rglob("*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20] + b"x" + whole[-19:])
    with pytest.raises(DamagedLakeError, match="is altered"):
        verify(lake, made)
    file.unlink()
    with pytest.raises(DamagedLakeError, match="cannot be found"):
        verify(lake, made)


def altered(lake: Path, **changes: Any) -> Decision:
    """The only decision, after somebody wrote its table anew with these changes."""
    [one] = decisions(lake)
    row = {name: getattr(one, name) for name in {*DECISIONS.schema.names} - {"decision_id", "date"}}
    row |= {"decision_id": one.id, "date": one.decided_at.date()} | changes
    write_deltalake(
        str(lake / "decisions"),
        pa.Table.from_pylist([row], schema=DECISIONS.schema),
        mode="overwrite",
        partition_by=list(DECISIONS.partition_by),
    )
    [found] = decisions(lake)
    return found


def test_a_record_that_was_altered_is_found(lake: Path) -> None:
    """In its text, in its row, or in both with a new hash: none of them holds."""
    made = decided(lake)
    forged = made.record.replace('"value": 1000,', '"value": 90000,')
    assert forged != made.record
    for changes, said in (
        ({"record": forged}, "was altered"),
        ({"verdict": "hold"}, "was altered"),
        ({"reason": "because"}, "was altered"),
        ({"shadow": "another"}, "was altered"),
        ({"record": "[]", "record_sha256": sha256("[]")}, "was altered"),
        ({"record": forged, "record_sha256": sha256(forged)}, "differs in checks[sufficient_traffic].value"),
    ):
        kept = lake.with_name("kept")
        shutil.copytree(lake, kept)
        found = verify(kept, altered(kept, **changes))
        assert not found.holds, changes
        assert said in found.faults[0]
        shutil.rmtree(kept)
    spaced = made.record.replace('"checks": [', '"checks":  [')
    found = verify(lake, altered(lake, record=spaced, record_sha256=sha256(spaced)))
    assert "in other bytes" in found.faults[0]


def test_a_decisions_file_that_was_altered_is_damage(lake: Path) -> None:
    """Its name is the hash of its bytes, as of any file of the lake."""
    decided(lake)
    file = next((lake / "decisions").rglob("*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"promote", b"promoto"))
    assert file.read_bytes() != whole
    with pytest.raises(DamagedLakeError):
        decisions(lake)


def test_a_record_of_another_version_says_so(lake: Path) -> None:
    """It is made again all the same, and holds where nothing else differs."""
    result = replace(judge(lake, SCOPE, POLICY, NOW, id=new_id(NOW)), software_version="0.0.1")
    found = verify(lake, record(lake, result))
    assert found.holds
    assert "made by shadowlane 0.0.1" in found.notes[0]
    odd = json.loads(gate_to_json(result))
    odd["policy"]["min_luck"] = 7
    text = json.dumps(odd)
    made = record(lake, replace(result, id=new_id(NOW)))
    strange = replace(made, record=text, record_sha256=sha256(text), id=result.id or "")
    assert (
        "cannot be read by this version: there is no criterion 'min_luck'" in verify(lake, strange).faults[0]
    )


def test_an_override_is_a_decision_of_its_own(lake: Path) -> None:
    """It names what it sets aside, by whom and why; the old one stays as it was."""
    made = decided(lake, Policy())
    assert made.verdict == "inconclusive"
    later = override(lake, made, "promote", reason=" traffic is low ", by="Ada", now=NOW + timedelta(days=1))
    assert find(lake, later.id) == later
    assert find(lake, made.id) == made
    assert (later.kind, later.verdict, later.overrides) == ("override", "promote", made.id)
    assert (later.reason, later.decided_by, later.is_whole) == ("traffic is low", "Ada", True)
    said = json.loads(later.record)
    assert (said["overridden_verdict"], said["overridden_sha256"]) == ("inconclusive", made.record_sha256)
    found = verify(lake, later)
    assert found.holds
    told = explain(made, decisions(lake))
    assert "It was overridden: on 2026-03-03 00:00:00 UTC Ada decided PROMOTE in its place" in told[-1]
    assert "traffic is low" in told[-1]
    assert f"Ada set aside the inconclusive of decision {made.id}" in explain(later)[0]


@pytest.mark.parametrize(
    ("reason", "by", "said"),
    [
        ("", "ada", "needs a reason"),
        (" \n", "ada", "needs a reason"),
        ("x", " ", "needs a by"),
        ("x" * 2_001, "ada", "2,000 are kept"),
    ],
)  # fmt: skip
def test_an_override_without_a_reason_is_refused(lake: Path, reason: str, by: str, said: str) -> None:
    """And nothing is recorded."""
    made = decided(lake)
    with pytest.raises(SettingsError, match=said):
        override(lake, made, "hold", reason=reason, by=by, now=NOW)
    assert decisions(lake) == [made]


def test_an_override_rests_on_what_it_overrides(lake: Path) -> None:
    """When that is altered, or cannot be made again, neither holds the override."""
    made = decided(lake)
    later = override(lake, made, "hold", reason="freeze", by="ada", now=NOW)
    other = replace(later, overrides="1nobody")
    text = later.record.replace(made.id, "1nobody")
    with pytest.raises(LakeError, match="no decision of that id"):
        verify(lake, replace(other, record=text, record_sha256=sha256(text)))
    wrong = later.record.replace('"overridden_verdict": "promote"', '"overridden_verdict": "hold"')
    forged = replace(later, record=wrong, record_sha256=sha256(wrong))
    assert "is not the one of then" in verify(lake, forged).faults[0]
    shutil.rmtree(lake / "comparisons")
    land(lake, comparisons(500))
    land(lake, comparisons(500, 600))
    assert f"What it overrides, {made.id}: Made again" in verify(lake, later).faults[0]


def test_a_decision_is_told_in_sentences(lake: Path) -> None:
    """From the record alone: the verdict, the scope, each check, the policy and the versions."""
    told = explain(decided(lake, ALL))
    text = "\n".join(told)
    assert told[0].startswith("On 2026-03-02 00:00:00 UTC shadowlane ")
    assert "decided INCONCLUSIVE on ranker → challenger (run live)" in told[0]
    assert "It looked at 1,000 requests, made from 2026-03-01 12:00:00 UTC" in text
    assert "agreement_ok passed. The two agree on 95.00 % of the compared requests" in text
    assert 'segments.names = ["country"]' in text
    assert "comparisons @2, errors absent" in text


def test_a_lake_that_cannot_be_written_is_an_error(lake: Path) -> None:
    """Nothing is recorded, and it says where."""
    (lake / "decisions").write_text("no folder")
    with pytest.raises(LakeError, match="decisions"):
        decided(lake)


def test_care_and_queries_go_on_with_decisions_there(lake: Path) -> None:
    """Status, compaction, vacuum and SQL know the table; a reader finds its log whole."""
    made = [decided(lake) for _ in range(3)]
    [kept] = [each for each in status(lake) if each.table == "decisions"]
    assert (kept.holding.rows, kept.positions) == (3, [])
    [done] = [each for each in compact(CompactionPlan(lake)) if each.table == "decisions"]
    assert (done.joined, done.into) == (3, 1)
    vacuum(VacuumPlan(lake, keep=timedelta(0), force=True))
    again = decided(lake)
    with open_query(lake, "SELECT decision_id, verdict, model FROM decisions ORDER BY 1") as answer:
        assert list(answer.rows) == sorted((each.id, "promote", "ranker") for each in [*made, again])
    assert len(decisions(lake)) == 4
    assert COMPARISONS.name in {each.table for each in status(lake)}
