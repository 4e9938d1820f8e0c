"""A worker and a fleet seen from outside, on a real Kafka: health, metrics, the ledger and the log."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.kafka import EmbeddedKafka, KafkaSettings, TopicNames, create_topics, default_specs
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, _spans, run_worker
from shadowlane.replay_worker._source import LiveSource
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes in /proc")

MODEL = """
import logging, time
from pathlib import Path

while not Path("may-load").exists():
    time.sleep(0.05)

logging.getLogger("outside_model").info("loaded")

def predict(features):
    time.sleep(0.002)
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return features["amount"] / 10
"""
CODEC = Codec(ProductionRequest)
WORKER = ("worker", "--model", "fraud", "--shadow", "s", "--load", "python:outside_model:predict")


class Running:
    """A worker or a fleet that runs, as its operator sees it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self._port, self._log = process, port, log

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body; 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, f"# {error}\n"
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return sum(
            each.value
            for each in samples
            if each.name == f"shadowlane_worker_{name}" and labels.items() <= each.labels.items()
        )

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@contextmanager
def running(folder: Path, settings: KafkaSettings, port: int, *options: str) -> Iterator[Running]:
    """A worker, or a fleet, with its log as JSON; whatever is left of it at the end is killed."""
    (folder / "outside_model.py").write_text(MODEL)
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
        "SHADOWLANE_LOG_FORMAT": "json",
        "SHADOWLANE_HEALTH_PORT": str(port),
        "SHADOWLANE_HEARTBEAT": str(folder / "heartbeat"),
    }
    log = folder / "worker.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "shadowlane", *WORKER, *options]
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield Running(process, port, log)
    finally:
        for pid in [process.pid, *descendants(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def publish(producer: Producer, topics: TopicNames, numbers: Sequence[int]) -> None:
    """Requests by number, as any service would send them."""
    for number in numbers:
        event = request(number)
        producer.produce(topics.requests, CODEC.encode(event), key=event.entity_id)
    assert producer.flush(30) == 0


def descendants(pid: int) -> list[int]:
    """All processes that it started, and those that they did."""
    try:
        listed = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    found = [int(child) for each in listed for child in each]
    return [each for child in found for each in (child, *descendants(child))]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a fleet."""
    return [each for each in descendants(pid) if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def is_running(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 100) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def landed(settings: KafkaSettings, lake: Path) -> None:
    """All that Kafka holds is in the lake."""
    run_aggregator(AggregatorPlan(str(lake), until_caught_up=True), settings, stop=Event())


def rows(lake: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    """A table's rows."""
    files = DeltaTable(str(lake / table)).file_uris()
    return duckdb.execute(f"select {columns} from read_parquet($files)", {"files": files}).fetchall()  # noqa: S608


def test_a_worker_is_ready_when_it_replays_and_counts_what_it_does(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    port: int,
) -> None:
    """Alive while its model loads, ready after; its metrics are what Kafka holds; the log says where."""
    producer = producer_factory()
    publish(producer, topics, range(300))
    producer.produce(topics.requests, CODEC.encode(request(999, model="another-model")))
    producer.produce(topics.requests, b"not ours", partition=0)
    producer.flush()
    with running(tmp_path, settings, port) as worker:
        wait_until(lambda: worker.get("/livez") == (200, "ok\n"))
        status, why = worker.get("/readyz")
        assert (status, "still starting (its model, or its way to Kafka)" in why) == (503, True)
        (tmp_path / "may-load").touch()
        wait_until(lambda: worker.get("/readyz") == (200, "ok\n"))
        wait_until(lambda: worker.metric("requests_total") == 301)
        assert worker.metric("compared_total") == 270
        assert worker.metric("errors_total", stage="predict") == 30
        assert worker.metric("errors_total", stage="decode") == 1
        assert worker.metric("skipped_total") == 1
        assert worker.metric("predict_seconds_count") == 270
        assert worker.metric("predict_seconds_sum") >= 270 * 0.002
        assert worker.metric("batch_messages_sum") == 302
        assert worker.metric("transaction_seconds_count") == worker.metric("batch_messages_count") > 0
        assert worker.metric("model_memory_bytes") > 10_000_000
        wait_until(lambda: worker.metric("lag_messages") == 0)
        assert worker.metric("lag_seconds") == 0
        assert worker.get("/livez") == (200, "ok\n")
        assert (tmp_path / "heartbeat").exists()
        worker.process.terminate()
        assert worker.process.wait(60) == 0
        lines = worker.lines()
    (fault, *_) = [line for line in lines if "requests that became errors" in line["message"]]
    assert fault["topic"] == topics.requests
    assert {"partition", "offset", "stage", "worker"} <= fault.keys()
    replaying = [line for line in lines if " replays fraud on s" in line["message"]]
    assert {(line["model"], line["shadow"], line["run"]) for line in replaying} == {("fraud", "s", "live")}
    (of_the_model,) = [line for line in lines if line["logger"] == "outside_model"]
    assert (of_the_model["message"], of_the_model["worker"]) == ("loaded", fault["worker"])
    assert "no history" not in json.dumps(lines)


def test_the_ledger_says_what_the_lake_holds(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    port: int,
) -> None:
    """The last entries of all workers add up to the comparisons and errors; the totals are in the log."""
    (tmp_path / "may-load").touch()
    publish(producer_factory(), topics, range(1_000))
    with running(tmp_path, settings, port, "--processes", "2") as fleet:
        wait_until(lambda: fleet.metric("requests_total") == 1_000)
        fleet.process.terminate()
        assert fleet.process.wait(60) == 0
        last = fleet.lines()[-1]
    assert last["message"] == (
        "the fleet stopped; its workers replayed 1,000 requests: 900 compared, 100 errors"
    )
    landed(settings, tmp_path / "lake")
    entries = latest_entries(tmp_path / "lake")
    assert [entry[-1] for entry in entries] == [True] * len(entries)
    compared, errors = in_the_lake(tmp_path / "lake")
    assert (compared.total(), errors.total()) == (900, 100)
    assert {worker: count for worker, count, *_ in entries if count} == compared
    assert {worker: count for worker, _, count, _ in entries if count} == errors
    observed = rows(tmp_path / "lake", "ledger", "observed - compared - list_sum(map_values(errors))")
    assert {each for (each,) in observed} <= {0, None}


@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_leaves_a_ledger_that_claims_nothing_too_much(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    port: int,
) -> None:
    """After a kill -9 the fleet is whole again, and the ledger falls short at most by the dead one's last."""
    (tmp_path / "may-load").touch()
    publish(producer_factory(), topics, range(2_000))
    with running(tmp_path, settings, port, "--processes", "2") as fleet:
        wait_until(lambda: fleet.metric("ready") == 2 and fleet.metric("requests_total") > 100)
        os.kill(workers_of(fleet.process.pid)[0], signal.SIGKILL)
        wait_until(lambda: fleet.metric("replaced_total", cause="killed") == 1)
        wait_until(lambda: fleet.get("/readyz") == (200, "ok\n"))
        publish(producer_factory(), topics, range(2_000, 2_100))
        wait_until(lambda: fleet.metric("lag_messages") == 0)
        assert fleet.get("/livez") == (200, "ok\n")
        fleet.process.terminate()
        assert fleet.process.wait(60) == 0
    landed(settings, tmp_path / "lake")
    compared, errors = in_the_lake(tmp_path / "lake")
    assert compared.total() + errors.total() == 2_100
    entries = latest_entries(tmp_path / "lake")
    assert max(entry[-1] for entry in entries) is True  # those that ended well have closed their books
    claimed = Counter[str]()
    for worker, count, failed, _ in entries:
        claimed[worker] += count + failed
    assert all(count <= compared[worker] + errors[worker] for worker, count in claimed.items())
    short = [worker for worker, count in claimed.items() if count < compared[worker] + errors[worker]]
    assert len(short) <= 1


def latest_entries(lake: Path) -> list[tuple[str, int, int, bool]]:
    """Of each worker's process the last entry: its id, compared, failed, and whether it is final."""
    latest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    times = "epoch_us(started_at), epoch_us(recorded_at)"
    columns = f"producer_id, {times}, compared, list_sum(map_values(errors)), final, role"
    for *identity, recorded, compared, failed, final, role in rows(lake, "ledger", columns):
        assert role == "worker"
        if recorded >= latest.get(tuple(identity), (recorded,))[0]:
            latest[tuple(identity)] = (recorded, identity[0], compared, failed or 0, final)
    return [(worker, compared, failed, final) for _, worker, compared, failed, final in latest.values()]


def in_the_lake(lake: Path) -> tuple[Counter[str], Counter[str]]:
    """How many comparisons and errors the lake holds of each worker."""
    tables = ("comparisons", "errors")
    first, second = (Counter(worker for (worker,) in rows(lake, each, "worker_id")) for each in tables)
    return first, second


def test_a_source_knows_what_waits_in_its_partitions(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Nothing before the group has spoken; then what is not taken yet; and nothing for a spare member."""
    publish(producer_factory(), topics, range(600))
    plan = WorkerPlan(Target("fraud", "s"), ModelSource("python:outside_model:predict"))
    with ExitStack() as stack:
        sources = [LiveSource(plan, settings, topics.requests, Event()) for _ in range(4)]
        for each in sources:
            stack.callback(each.close)
        assert [each.waiting() for each in sources] == [None] * 4

        def waiting() -> list[tuple[int, int | None]]:
            """Of each partition that somebody has, after each has taken a few of its messages."""
            for each in sources:
                each.take(7)
            return sorted(one for each in sources for one in (each.waiting() or {}).items())

        wait_until(lambda: [partition for partition, _ in waiting()] == [0, 1, 2])
        wait_until(lambda: bool(waiting()) and {} in [each.waiting() for each in sources])
        wait_until(lambda: 0 < sum(count or 0 for _, count in waiting()) < 600)
        wait_until(lambda: waiting() == [(0, 0), (1, 0), (2, 0)])


def test_a_batch_is_linked_to_the_traces_of_its_requests(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through the whole worker: what the hook wrote into a request's context leads to its batch's span."""
    (tmp_path / "outside_model.py").write_text(MODEL)
    (tmp_path / "may-load").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(_spans, "_tracer", lambda: provider.get_tracer("test"))
    producer, trace = producer_factory(), 0x4BF92F3577B34DA6A3CE929D0E0E4736
    for number in range(20):
        context = {"traceparent": f"00-{trace:032x}-{number + 1:016x}-0{number % 2}"}
        producer.produce(topics.requests, CODEC.encode(request(number, context=context)))
    producer.flush()
    stop, plan = Event(), WorkerPlan(Target("fraud", "s"), ModelSource("python:outside_model:predict"))

    def tick(done: Tally) -> None:
        if done.requests == 20:
            stop.set()

    run_worker(plan, settings, "w", stop=stop, tick=tick)
    spans = exporter.get_finished_spans()
    links = [link.context for span in spans for link in span.links]
    assert sorted(each.span_id for each in links) == list(range(2, 21, 2))
    assert {each.trace_id for each in links} == {trace}
    attributes = [dict(span.attributes or {}) for span in spans]
    assert {each["messaging.destination.name"] for each in attributes} == {topics.requests}
    assert {each["messaging.consumer.group.name"] for each in attributes} == {
        settings.topic_prefix + plan.target.group
    }
    assert sum(int(str(each["messaging.batch.message_count"])) for each in attributes) == 20


@pytest.mark.timeout(240)
def test_a_worker_without_its_broker_is_alive(tmp_path: Path, own_kafka: EmbeddedKafka, port: int) -> None:
    """Nothing that a restart would mend: /livez and the heartbeat never ask Kafka."""
    names = TopicNames("gone-")
    settings = KafkaSettings(own_kafka.bootstrap_servers, topic_prefix=names.prefix)
    create_topics(settings, default_specs(names, 3))
    (tmp_path / "may-load").touch()
    with running(tmp_path, settings, port) as worker:
        wait_until(lambda: worker.get("/readyz") == (200, "ok\n"))
        state = json.loads((own_kafka.log_path.parent / "state.json").read_text())
        os.kill(state["pid"], signal.SIGKILL)
        wait_until(lambda: any("shadowlane.kafka" in line["logger"] for line in worker.lines()))
        assert worker.get("/livez") == (200, "ok\n")
        seen = (tmp_path / "heartbeat").stat().st_mtime_ns
        wait_until(lambda: (tmp_path / "heartbeat").stat().st_mtime_ns > seen)
        assert worker.get("/livez") == (200, "ok\n")


def test_a_fleet_ends_with_the_reason_of_the_worker_that_gave_up(
    tmp_path: Path, settings: KafkaSettings, port: int
) -> None:
    """The last line is the worker's own reason, and the status is its own."""
    with running(
        tmp_path, settings, port, "--processes", "2", "--load", "python:outside_model:absent"
    ) as fleet:
        (tmp_path / "may-load").touch()
        assert fleet.process.wait(60) == 1
        lines = fleet.lines()
    assert "absent" in lines[-1]["message"]
    assert lines[-1]["level"] == "CRITICAL"
    assert any(line["message"].endswith("gave up; the fleet stops") for line in lines)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_killed_fleet_leaves_no_process_even_if_its_model_holds_the_interpreter(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    port: int,
    isolation: str,
) -> None:
    """Kill -9 of the parent: the workers leave, and each model's process with its worker."""
    publish(producer_factory(), topics, range(10))
    (tmp_path / "holding.py").write_text(
        "import ctypes, pathlib\n"
        "def predict(features):\n"
        "    pathlib.Path('held').touch()\n"
        "    ctypes.PyDLL(None).sleep(1000)\n"  # a call that does not let go of the interpreter
    )
    options = ("--processes", "2", "--load", "python:holding:predict", "--isolation", isolation)
    with running(tmp_path, settings, port, *options) as fleet:
        wait_until((tmp_path / "held").exists)
        everyone = [fleet.process.pid, *descendants(fleet.process.pid)]
        assert len(everyone) >= 3
        fleet.process.kill()
        fleet.process.wait()
        wait_until(lambda: not any(map(is_running, everyone)))


def test_a_second_ctrl_c_ends_a_fleet_at_once(
    tmp_path: Path,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    port: int,
) -> None:
    """The first one lets the slow model finish, the second one does not."""
    publish(producer_factory(), topics, range(10))
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def predict(features):\n"
        "    pathlib.Path('asked').touch()\n"
        "    time.sleep(1000)\n"
    )
    with running(tmp_path, settings, port, "--processes", "2", "--load", "python:slow:predict") as fleet:
        wait_until((tmp_path / "asked").exists)
        everyone = [fleet.process.pid, *descendants(fleet.process.pid)]
        os.killpg(fleet.process.pid, signal.SIGINT)
        wait_until(lambda: "was told to stop" in fleet.get("/readyz")[1])
        os.killpg(fleet.process.pid, signal.SIGINT)
        assert fleet.process.wait(60) == -signal.SIGINT
        wait_until(lambda: not any(map(is_running, everyone)))
