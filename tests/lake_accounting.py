"""Judges a lake against the Kafka it came from, sharing no line with what wrote it.

Kafka is read with a plain consumer (committed transactions only, each partition once from its first offset
to its end) and decoded with fastavro; the tables by replaying Delta's log, JSON and checkpoints alike, and
with pyarrow. Says each message that is not in its table exactly once and value by value, each row that no
message explains, each file that is not what its name, its folder or its log says, and each position that
is not the true end of its partition. As a program:

    python tests/lake_accounting.py BOOTSTRAP_SERVERS LAKE [TOPIC_PREFIX]
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

Place = tuple[int, int]
Values = dict[str, Any]

#: Table, topic, Avro contract, and the times that date a row: the first that it has.
KINDS = (
    ("comparisons", "shadow-comparisons", "shadow_comparison", ("event_time",)),
    ("errors", "shadow-errors", "shadow_error", ("event_time", "failed_at")),
    ("labels", "production-labels", "production_label", ("observed_at",)),
    ("ledger", "shadow-ledger", "ledger_entry", ("recorded_at",)),
)
#: A prediction's parts are columns of their own.
SPREAD = {"primary_prediction": "primary_", "shadow_prediction": "shadow_", "label": "label_"}
IDENTITY = ("source_topic", "source_partition", "source_offset", "shadow", "run")
PART = re.compile(r"part-([0-9a-f]{64})\.zstd\.parquet")
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CARE = "shadowlane/care"
FEW, MANY = 5, 20


@dataclass(slots=True)
class Judgement:
    """What was found. `orphans` are files that no commit lists, `drafts` half files: kills leave both."""

    rows: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    orphans: int = 0
    drafts: int = 0
    commits: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    checkpoints: int = 0
    faults: list[str] = field(default_factory=list)

    def blame(self, what: str, wrong: Collection[Any]) -> None:
        """One sentence for many of a kind, with the first few of them."""
        if wrong:
            self.faults.append(f"{len(wrong)} {what}: {', '.join(map(str, list(wrong)[:FEW]))}")


@dataclass(slots=True)
class Topic:
    """What a topic holds: its events, what is none, and where each partition ends."""

    events: dict[Place, Values] = field(default_factory=dict)
    foreign: dict[Place, bytes] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """A table at a version, as its log says."""

    files: dict[str, Values] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    positions: dict[str, int] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


def judge(servers: str, lake: Path, prefix: str = "") -> Judgement:
    """Compare what the topics hold now with what the lake holds now; nobody may write to either meanwhile."""
    return compare(read_topics(servers, prefix), lake, prefix)


def read_topics(servers: str, prefix: str = "") -> dict[str, Topic]:
    """What each topic holds, by its table."""
    return {table: read_topic(servers, prefix + name, contract) for table, name, contract, _ in KINDS}


def compare(topics: Mapping[str, Topic], lake: Path, prefix: str = "") -> Judgement:
    """What the lake holds, against what was read."""
    found, letters = Judgement(), dict[tuple[str, int, int], bytes]()
    for table, name, _, dated_by in KINDS:
        topic = topics[table]
        letters |= {(prefix + name, *place): raw for place, raw in topic.foreign.items()}
        _judge_table(found, lake / table, prefix + name, topic, dated_by)
    _judge_dead_letters(found, lake / "dead_letters", letters)
    return found


def assert_exactly_once(servers: str, lake: Path, prefix: str = "", *, leftovers: bool = False) -> Judgement:
    """Nothing is missing, doubled, invented or altered; kills and lost races leave files unlisted."""
    found = judge(servers, lake, prefix)
    assert not found.faults, "\n".join(found.faults[:MANY])
    assert leftovers or (found.orphans, found.drafts) == (0, 0), found
    return found


def read_topic(servers: str, topic: str, contract: str) -> Topic:
    """One pass over each partition; the last offset of a topic that ends in a marker is never a message."""
    reader, held = Reader(contract), Topic()
    config = {
        "bootstrap.servers": servers,
        "group.id": f"auditor-{uuid.uuid4().hex}",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "log_level": 0,
    }
    with closing(Consumer(config)) as consumer:
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            for message in consumer.consume(1000, 0.2):
                place = message.partition() or 0, message.offset() or 0
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(place[0])
                    held.ends[place[0]] = place[1]
                    continue
                raw = message.value() or b""
                event = reader.decode(raw)
                if event is None:
                    held.foreign[place] = raw
                else:
                    held.events[place] = event
    return held


class Reader:
    """Reads one kind of event by its contract, from the package's data."""

    def __init__(self, contract: str) -> None:
        spec = find_spec("shadowlane")
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin).parent / "schemas" / f"{contract}.avsc"
        schema = json.loads(path.read_text(encoding="utf-8"))
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        self._header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        self._schema = fastavro.parse_schema(schema)

    def decode(self, raw: bytes) -> Values | None:
        """An event by its columns; None for bytes that are none, or one whose model cannot be a folder."""
        if not raw.startswith(self._header):
            return None
        body = io.BytesIO(raw[len(self._header) :])
        try:
            record: Any = fastavro.schemaless_reader(body, self._schema, None)
        except (EOFError, IndexError, ValueError, OverflowError):
            return None
        if body.read() or not FOLDER_NAME.fullmatch(record["model"]):
            return None
        return _columns(record)


def _columns(record: Values) -> Values:
    columns: Values = {}
    for name, value in record.items():
        if name in SPREAD:
            columns.update({SPREAD[name] + part: each for part, each in value.items()})
        else:
            columns[name] = value
    return columns


def read_log(found: Judgement, table: Path) -> State:
    """The table's newest state, told by each commit in turn; each checkpoint must say the same."""
    state, log = State(), table / "_delta_log"
    commits = sorted(log.glob("*.json"))
    if [int(each.stem) for each in commits] != list(range(len(commits))):
        found.faults.append(f"{table.name}: the log has holes: {[each.stem for each in commits]}")
    for commit in commits:
        for line in commit.read_text().splitlines():
            _apply(found, f"{table.name} {int(commit.stem)}", state, json.loads(line))
        checkpoint = commit.with_name(f"{commit.stem}.checkpoint.parquet")
        if checkpoint.exists():
            found.checkpoints += 1
            _compare_checkpoint(found, checkpoint, state)
    found.commits[table.name], found.listed[table.name] = len(commits), len(state.files)
    return state


def _apply(found: Judgement, where: str, state: State, action: Values) -> None:
    for kind, what in action.items():
        if kind == "add":
            if what["path"] in state.files:
                found.faults.append(f"{where} lists {what['path']} a second time")
            state.files[what["path"]] = what
            state.gone.discard(what["path"])
        elif kind == "remove":
            if what["path"] not in state.files:
                found.faults.append(f"{where} removes {what['path']}, which is not listed")
            state.files.pop(what["path"], None)
            state.gone.add(what["path"])
        elif kind == "txn":
            app, version = what["appId"], what["version"]
            if version <= state.positions.get(app, -1):
                found.faults.append(f"{where} moves {app} from {state.positions[app]} to {version}")
            state.positions[app] = version
        elif kind == "metaData":
            state.columns = tuple(each["name"] for each in json.loads(what["schemaString"])["fields"])


def _compare_checkpoint(found: Judgement, path: Path, state: State) -> None:
    told = pq.ParquetFile(path).read(columns=["add.path", "txn.appId", "txn.version"]).to_pylist()
    files = {each["add"]["path"] for each in told if each["add"] and each["add"]["path"]}
    moves = {each["txn"]["appId"]: each["txn"]["version"] for each in told if each["txn"]}
    if files != state.files.keys() or {app: at for app, at in moves.items() if app} != state.positions:
        found.faults.append(f"the checkpoint {path.parent.parent.name}/{path.name} is not what its log says")


def read_rows(found: Judgement, table: Path, state: State) -> Iterator[tuple[Mapping[str, str], Values]]:
    """Each listed file's rows with the folder that they lie in; a file is held to its name and its log."""
    for path, entry in state.files.items():
        file = table / unquote(path)
        if not file.exists():
            found.faults.append(f"{file} is listed and is not there")
            continue
        data, named = file.read_bytes(), PART.fullmatch(file.name)
        if named is None or hashlib.sha256(data).hexdigest() != named[1] or len(data) != entry["size"]:
            found.faults.append(f"{file} is not the bytes that its name and its log promise")
        folder = {key: value or "" for key, value in entry["partitionValues"].items()}
        if {*unquote(path).split("/")[:-1]} != {f"{key}={value}" for key, value in folder.items()}:
            found.faults.append(f"{file} lies in another folder than its log says: {folder}")
        try:
            rows = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
        except (OSError, pa.ArrowException) as error:
            found.faults.append(f"{file} cannot be read: {error}")
            continue
        if json.loads(entry["stats"])["numRecords"] != len(rows):
            found.faults.append(f"{file} has {len(rows)} rows, its log says otherwise")
        yield from ((folder, row) for row in rows)


def _judge_table(found: Judgement, table: Path, name: str, topic: Topic, dated_by: tuple[str, ...]) -> None:
    state = read_log(found, table)
    _judge_leftovers(found, table, state)
    seen, wrong, misplaced = Counter[Place](), [], []
    identities = Counter[tuple[Any, ...]]()
    for folder, row in read_rows(found, table, state):
        place = row.pop("landed_partition"), row.pop("landed_offset")
        seen[place] += 1
        event = topic.events.get(place)
        if event is None:
            continue
        row["model"] = folder["model"]
        wrong += [(place, each) for each in event if not _same(event[each], row.get(each))]
        if folder["date"] != str(_day(event, dated_by)):
            misplaced.append((place, folder["date"]))
        identities[tuple(row.get(each) for each in IDENTITY)] += 1
    found.rows[table.name] = seen.total()
    told = Counter(tuple(event.get(each) for each in IDENTITY) for event in topic.events.values())
    found.blame(f"messages of {name} that are not in the table", topic.events.keys() - seen.keys())
    found.blame(f"rows of {table.name} that no message explains", seen.keys() - topic.events.keys())
    found.blame(f"messages of {name} that are several rows", [at for at, times in seen.items() if times > 1])
    found.blame(f"identities of {name} not as often as sent", _unlike(told, identities))
    found.blame(f"values of {table.name} that are not what was sent", wrong)
    found.blame(f"rows of {table.name} in another day's folder", misplaced)
    ends = {f"{name}-{partition}": end for partition, end in topic.ends.items() if end}
    at = {app: where for app, where in state.positions.items() if not app.startswith(("topic-id/", CARE))}
    found.blame(f"positions of {table.name} that are not its topic's ends", at.items() ^ ends.items())


def _judge_dead_letters(found: Judgement, table: Path, letters: Mapping[tuple[str, int, int], bytes]) -> None:
    state = read_log(found, table)
    _judge_leftovers(found, table, state)
    kept = Counter[tuple[str, int, int]]()
    for _, row in read_rows(found, table, state):
        place = row["topic"], row["landed_partition"], row["landed_offset"]
        kept[place] += 1
        if letters.get(place) != base64.b64decode(row["raw"]):
            found.faults.append(f"the dead letter {place} is not what was sent")
    found.dead_letters = kept.total()
    found.blame("dead letters that are not kept once each", _unlike(Counter(list(letters)), kept))


def _judge_leftovers(found: Judgement, table: Path, state: State) -> None:
    """Files that no reader meets: of commits that did not come to be, and halves of files."""
    listed = {unquote(path) for path in state.files.keys() | state.gone}
    for file in table.rglob("*"):
        name = file.relative_to(table)
        if not file.is_file() or name.parts[0] == "_delta_log" or name.as_posix() in listed:
            continue
        if PART.fullmatch(file.name) and hashlib.sha256(file.read_bytes()).hexdigest() in file.name:
            found.orphans += 1
        elif file.name.startswith(".") and file.name.endswith(".draft"):
            found.drafts += 1
        else:
            found.faults.append(f"{file} is neither a part nor the draft of one")


def _unlike(one: Counter[Any], other: Counter[Any]) -> Counter[Any]:
    return (one - other) + (other - one)


def _day(event: Values, dated_by: tuple[str, ...]) -> date:
    moment: datetime = next(event[name] for name in dated_by if event[name] is not None)
    return moment.astimezone(UTC).date()


def _same(sent: Any, landed: Any) -> bool:
    """Value by value; Parquet gives a map as pairs, and a NaN equals no other."""
    if isinstance(sent, dict) and isinstance(landed, list):
        return _same(sent, dict(landed)) and len(landed) == len(sent)
    if isinstance(sent, dict) and isinstance(landed, dict):
        return sent.keys() == landed.keys() and all(_same(sent[key], landed[key]) for key in sent)
    if isinstance(sent, list) and isinstance(landed, list):
        return len(sent) == len(landed) and all(map(_same, sent, landed))
    return type(sent) is type(landed) and (sent == landed or (sent != sent and landed != landed))  # noqa: PLR0124


def main() -> int:
    """Judge, print what was found, and exit with 1 where anything is wrong."""
    found = judge(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
    sys.stdout.write(f"{found.rows} {found.dead_letters=} {found.orphans=} {found.drafts=}\n")
    sys.stdout.writelines(f"{fault}\n" for fault in found.faults)
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
