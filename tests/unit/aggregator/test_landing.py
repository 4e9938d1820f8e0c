"""From messages to rows, and the lake's tables, without a Kafka."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pytest
from confluent_kafka import Message
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._landing import land
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._table import LakeTable, TakenOverError
from shadowlane.lake._tables import DEAD_LETTERS, LEDGER, TableSpec
from shadowlane.schemas import Codec, LedgerEntry
from shadowlane.schemas.columns import ColumnCodec
from tests_support import NOON

TOPIC = "shadow-ledger"
ENTRY = LedgerEntry(producer_id="p", model="fraud", started_at=NOON, recorded_at=NOON)
SCHEMA = pa.schema([("number", pa.int64()), ("model", pa.string())])
NEW_IN_2 = ("compared", "errors", "lost", "missing_features", "unexpected_features", "restarts")


class Read:
    """A message as a consumer gives it."""

    def __init__(self, offset: int, value: bytes, partition: int = 0) -> None:
        self._offset, self._value, self._partition = offset, value, partition

    def topic(self) -> str:
        """Its topic."""
        return TOPIC

    def partition(self) -> int:
        """Its partition."""
        return self._partition

    def offset(self) -> int:
        """Its offset."""
        return self._offset

    def value(self) -> bytes:
        """Its bytes."""
        return self._value

    def timestamp(self) -> tuple[int, int]:
        """Its time, the same for all."""
        return 1, 0


def read(*values: bytes, partition: int = 0, offset: int = 0, after: Gathered | None = None) -> Gathered:
    """Messages of one partition, one after the other."""
    gathered = after or Gathered(TOPIC)
    messages = [Read(offset + n, value, partition) for n, value in enumerate(values)]
    gathered.add(partition, cast("list[Message]", messages), [each.offset() for each in messages])
    return gathered


def entry(**changes: Any) -> bytes:
    """A ledger entry as it travels."""
    return Codec(LedgerEntry).encode(replace(ENTRY, **changes))


def table(lake: Path, name: str = "numbers") -> LakeTable:
    """A small table."""
    return LakeTable(lake, TableSpec(name, SCHEMA, ("model",), ("number",)))


def numbers(*values: int) -> pa.Table:
    """Rows for it."""
    return pa.table({"number": list(values), "model": ["m"] * len(values)}, schema=SCHEMA)


@pytest.mark.parametrize("model", ["", "x" * 129, "x" * 300, "../up", "a b", "a\x00b", "fraud\n"])
def test_a_name_that_cannot_be_a_folder_becomes_a_dead_letter(model: str) -> None:
    """The row goes apart with the reason and its bytes; the others land, each with its own offset."""
    bad = entry(model=model)
    landed = land(
        LEDGER, ColumnCodec(LedgerEntry), read(entry(observed=1), bad, b"foreign", entry(observed=4))
    )
    assert landed.rows.select(["landed_offset", "observed", "model"]).to_pylist() == [
        {"landed_offset": 0, "observed": 1, "model": "fraud"},
        {"landed_offset": 3, "observed": 4, "model": "fraud"},
    ]
    first, second = landed.dead_letters.to_pylist()
    assert first["landed_offset"] == 1
    assert first["message"].startswith("model name ")
    assert base64.b64decode(first["raw"]) == bad
    assert (second["landed_offset"], second["error_type"]) == (2, "ForeignMessageError")


def test_a_position_can_move_without_rows(tmp_path: Path) -> None:
    """A position that only markers moved is kept, and adds no row."""
    first = table(tmp_path)
    first.append(numbers(1, 2), {"t-0": 2})
    first.move({"t-0": 3})
    second = table(tmp_path)
    assert second.resume("t-0") == 3
    assert second.resume("t-1") is None


def test_another_writers_move_is_told_from_a_broken_lake(tmp_path: Path) -> None:
    """Who comes second, of two that saw the same position, learns that it was taken over."""
    first, second = table(tmp_path), table(tmp_path)
    for each in (first, second):
        each.resume("t-0")
    first.append(numbers(1), {"t-0": 1})
    with pytest.raises(TakenOverError):
        second.append(numbers(1), {"t-0": 1})
    assert second.resume("t-0") == 1
    second.append(numbers(2), {"t-0": 2})


def test_a_commit_that_fails_for_another_reason_is_not_called_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only Delta's own words for another writer's commit mean another aggregator."""

    def fail(*_args: Any, **_options: Any) -> None:
        raise CommitFailedError("Protocol changed since last commit.")

    numbered = table(tmp_path)
    monkeypatch.setattr("shadowlane.lake._table.LakeTable._commit", fail)
    with pytest.raises(LakeError, match=r"cannot write to the table .*numbers: Protocol changed") as failed:
        numbered.append(numbers(1), {"t-0": 1})
    assert not isinstance(failed.value, TakenOverError)


def test_who_wrote_nothing_for_long_outlives_the_logs_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that was idle for a week lands its next rows, when the log has long gone on without it."""
    monkeypatch.setattr("shadowlane.lake._table._STALE_SECONDS", 0.0)
    idle, busy = table(tmp_path), table(tmp_path)
    for each in (idle, busy):
        each.resume("t-0")
    for position in range(1, 4):
        busy.append(numbers(position), {"busy-0": position})
    log = tmp_path / "numbers/_delta_log"
    for entry in log.iterdir():
        os.utime(entry, (0, 0))
    numbered = DeltaTable(str(tmp_path / "numbers"))
    numbered.create_checkpoint()
    numbered.cleanup_metadata()
    assert len([*log.glob("*.json")]) == 1
    idle.append(numbers(4), {"t-0": 1})
    idle.move({"t-0": 2})
    assert idle.resume("t-0") == 2
    assert DeltaTable(str(tmp_path / "numbers")).count() == 4


class OlderStream:
    """A writer of the ledger as it was before its version 2."""

    def __init__(self, lake: Path) -> None:
        self._schema = pa.schema([each for each in LEDGER.schema if each.name not in NEW_IN_2])
        self.table = LakeTable(lake, replace(LEDGER, schema=self._schema))

    def land(self, observed: int, position: int) -> None:
        """Commit one entry."""
        rows = land(LEDGER, ColumnCodec(LedgerEntry), read(entry(observed=observed))).rows
        self.table.append(rows.select(self._schema.names), {"old-0": position})


def counts(lake: Path) -> list[tuple[Any, ...]]:
    """What the ledger's rows hold, old columns and new ones."""
    files = DeltaTable(str(lake / "ledger")).file_uris()
    query = "select observed, lost, errors from read_parquet($files, union_by_name = true) order by observed"
    return duckdb.execute(query, {"files": files}).fetchall()


def test_a_lake_of_an_older_version_gets_the_new_columns(tmp_path: Path) -> None:
    """Rows from before an event had a field hold null there; later ones hold their values, by name."""
    OlderStream(tmp_path).land(1, 1)
    stream = Stream(str(tmp_path), TOPIC, LEDGER)
    stream.resume(0)
    stream.land(read(entry(observed=2, lost=7, errors={"predict": 3})), {0: 1})
    assert counts(tmp_path) == [(1, None, None), (2, 7, {"predict": 3})]


def test_an_older_writer_goes_on_beside_a_newer_one(tmp_path: Path) -> None:
    """Who meets columns that came meanwhile is told so, loses nothing, and then writes without them."""
    older = OlderStream(tmp_path)
    older.land(1, 1)
    stream = Stream(str(tmp_path), TOPIC, LEDGER)
    stream.resume(0)
    stream.land(read(entry(observed=2)), {0: 1})
    with pytest.raises(TakenOverError):
        older.land(3, 2)
    assert older.table.resume("old-0") == 1
    older.land(3, 2)
    stream.land(read(entry(observed=4, lost=1), offset=1), {0: 2})
    assert counts(tmp_path) == [(1, None, None), (2, 0, {}), (3, None, None), (4, 1, {})]


@pytest.mark.parametrize("use", ["resume", "append", "move"])
def test_a_lake_that_is_gone_is_an_error_that_names_the_table(tmp_path: Path, use: str) -> None:
    """Deleting the lake under a running aggregator ends it with a sentence."""
    numbered = table(tmp_path)
    numbered.append(numbers(1), {"t-0": 1})
    shutil.rmtree(tmp_path / "numbers")
    uses: dict[str, Callable[[], object]] = {
        "resume": lambda: numbered.resume("t-0"),
        "append": lambda: numbered.append(numbers(2), {"t-0": 2}),
        "move": lambda: numbered.move({"t-0": 2}),
    }
    with pytest.raises(LakeError, match=r"the table .*numbers: "):
        uses[use]()


def test_nothing_lands_on_a_log_that_lost_a_commit(tmp_path: Path) -> None:
    """Delta reads over an entry without a line: its rows would land again, twice once it is back."""
    first = table(tmp_path)
    first.append(numbers(1, 2), {"t-0": 2})
    (tmp_path / "numbers" / "_delta_log" / f"{1:020d}.json").write_bytes(b"")
    with pytest.raises(DamagedLakeError, match=r"0001\.json is cut or altered"):
        table(tmp_path)


def test_a_topic_is_held_to_its_id(tmp_path: Path) -> None:
    """The id is kept at the first start; under another one the lake refuses the topic by name."""
    for _ in range(2):
        Stream(str(tmp_path), TOPIC, LEDGER).identify(7)
    Stream(str(tmp_path), "other-ledger", LEDGER).identify(8)
    with pytest.raises(
        LakeError, match=rf"the lake {tmp_path} holds another topic {TOPIC}: .*new lake folder"
    ):
        Stream(str(tmp_path), TOPIC, LEDGER).identify(8)


def test_dead_letters_read_again_are_kept_once(tmp_path: Path) -> None:
    """After a crash between the two commits, neither partition's dead letters come twice."""
    stream = Stream(str(tmp_path), TOPIC, LEDGER)
    letters = LakeTable(tmp_path, DEAD_LETTERS)
    for partition in (0, 1):
        stream.resume(partition)
    ahead = read(b"c", b"d", partition=1, after=read(b"a", b"b"))
    stream._bury(land(LEDGER, stream._codec, ahead).dead_letters, {f"{TOPIC}-0": 2, f"{TOPIC}-1": 2})

    again = Stream(str(tmp_path), TOPIC, LEDGER)
    for partition in (0, 1):
        again.resume(partition)
    again.land(read(b"c", partition=1, after=read(b"a", b"b", b"e")), {0: 3, 1: 1})
    again.land(read(b"d", partition=1, offset=1), {1: 2})
    assert again._dead_letters._table.count() == 5
    assert letters.resume(f"{TOPIC}-1") == 2
