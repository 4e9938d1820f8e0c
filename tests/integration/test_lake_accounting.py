"""The judge of the lake is judged: what is wrong with a table, it finds."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from aggregators import Aggregators
from lake_accounting import assert_exactly_once, compare, read_topics
from lake_feed import Feed
from shadowlane.kafka import KafkaSettings
from shadowlane.lake import COMPARISONS, LakeTable


def a_file(lake: Path) -> Path:
    """One of the table of comparisons."""
    return min((lake / "comparisons" / "model=fraud").rglob("*.parquet"))


def double_rows(lake: Path) -> None:
    """Land those of one file again."""
    rows = pq.ParquetFile(a_file(lake)).read()
    day = date.fromisoformat(a_file(lake).parent.name.removeprefix("date="))
    for name, value in (("model", pa.scalar("fraud")), ("date", pa.scalar(day))):
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    LakeTable(lake, COMPARISONS).append(rows.slice(1), {})


def in_the_log(lake: Path, before: str, after: str | None) -> None:
    """Put other words in the log's place, or drop the line that has them."""
    for commit in (lake / "comparisons" / "_delta_log").glob("*.json"):
        lines = commit.read_text().splitlines(keepends=True)
        kept = [line for line in lines if after is not None or before not in line]
        commit.write_text("".join(line.replace(before, after or "") for line in kept))
    for checkpoint in (lake / "comparisons" / "_delta_log").glob("*checkpoint*"):
        checkpoint.unlink()


def lose_a_file(lake: Path) -> None:
    """The log does not list it any more."""
    in_the_log(lake, a_file(lake).name, None)


def change_a_value(lake: Path) -> None:
    """One agreement is another, in a file that is in order otherwise."""
    file = a_file(lake)
    rows = pq.ParquetFile(file).read()
    place = rows.column_names.index("agreement")
    flipped = pc.invert(rows.column("agreement"))
    pq.write_table(rows.set_column(place, "agreement", flipped), file)
    renamed = file.with_name(f"part-{hashlib.sha256(file.read_bytes()).hexdigest()}.zstd.parquet")
    in_the_log(lake, file.name, renamed.name)
    file.rename(renamed)


def move_a_position(lake: Path) -> None:
    """A partition is said to have been read further than it reaches."""
    log = DeltaTable(str(lake / "comparisons"))
    commit = lake / "comparisons" / "_delta_log" / f"{log.version() + 1:020d}.json"
    commit.write_text(json.dumps({"txn": {"appId": "shadow-comparisons-0", "version": 10**6}}))


def flip_a_bit(lake: Path) -> None:
    """In the middle of a file."""
    data = bytearray(a_file(lake).read_bytes())
    data[len(data) // 3] ^= 1
    a_file(lake).write_bytes(data)


def leave_a_file(lake: Path) -> None:
    """Beside those of the table."""
    a_file(lake).with_name("rows.parquet").write_bytes(a_file(lake).read_bytes())


def test_the_judge_sees_what_is_wrong(tmp_path: Path, settings: KafkaSettings) -> None:
    """A row that is doubled, lost or changed, a position, a file's bytes and one that belongs to nobody."""
    Feed(settings).some(60)
    aggregators = Aggregators(tmp_path, settings)
    try:
        assert aggregators.catch_up() == 0
    finally:
        aggregators.close()
    assert_exactly_once(settings.bootstrap_servers, aggregators.lake, settings.topic_prefix)
    topics = read_topics(settings.bootstrap_servers, settings.topic_prefix)
    for tamper, sentence in (
        (double_rows, "that are several rows"),
        (lose_a_file, "that are not in the table"),
        (change_a_value, "that are not what was sent"),
        (move_a_position, "that are not its topic's ends"),
        (flip_a_bit, "is not the bytes that its name"),
        (leave_a_file, "is neither a part nor the draft of one"),
    ):
        lake = aggregators.lake.with_name(tamper.__name__)
        shutil.copytree(aggregators.lake, lake)
        tamper(lake)
        found = compare(topics, lake, settings.topic_prefix)
        assert any(sentence in fault for fault in found.faults), (tamper, found.faults)
