"""Whether a worker's memory stays flat over millions of requests, and what a second process brings.

    python benchmarks/worker_scale.py [memory|processes] [--count 2000000]

`memory` prints the resident memory of the worker and of its model's process as the requests go by.
`processes` replays the same requests by one worker process and by two, with a model that computes for half
a millisecond a request, and prints the throughputs' ratio: the broker, on the same machine, has little to do.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from confluent_kafka import Consumer

from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_consumer,
    make_producer,
)
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest

TOPICS = TopicNames()
PARTITIONS, PORT = 4, 9477
MODEL = """
class Together:
    def predict(self, batch):
        return batch.matrix([f"f{index}" for index in range(20)])[:, 0]

def busy(features):
    total = 0
    for number in range(12_000):
        total += number
    return features["f0"]
"""


def fill(kafka: KafkaSettings, count: int) -> None:
    """Publish so many requests; a thousand different ones, again and again."""
    codec = Codec(ProductionRequest)
    values = [
        codec.encode(
            ProductionRequest(
                request_id=f"r{number}",
                event_time=datetime.now(UTC),
                model="bench",
                features=Features(numbers={f"f{index}": number / 1000 + index for index in range(20)}),
                prediction=Prediction(score=number / 1000),
                latency_ms=1.0,
            )
        )
        for number in range(1000)
    ]
    producer = make_producer(kafka, **{"linger.ms": 20})
    for number in range(count):
        while True:
            try:
                producer.produce(TOPICS.requests, values[number % 1000], key=str(number))
            except BufferError:
                producer.poll(0.1)
            else:
                break
    producer.flush()


def resident_mb(pid: int | str) -> float:
    """How much memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(kafka: KafkaSettings, count: int) -> None:
    """Replay all of it, and look at the memory on the way."""
    fill(kafka, count)
    stop, seen = Event(), [0]

    def tick(tally: Tally) -> None:
        if tally.requests >= seen[0]:
            pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            models = [
                resident_mb(pid) for pid in pids if b"isolation" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            print(
                f"{tally.requests:>10,} requests   worker {resident_mb('self'):6.0f} MB   "
                f"model's process {sum(models):6.0f} MB",
                flush=True,
            )
            seen[0] += count // 10
        if tally.requests >= count:
            stop.set()

    plan = WorkerPlan(Target("bench", "memory"), ModelSource("python:scale_model:Together"), batch=True)
    run_worker(plan, kafka, "memory", stop=stop, tick=tick)


def processes(kafka: KafkaSettings, count: int, folder: str) -> None:
    """Replay all of it by one process and by two, three times in turn."""
    ratios = []
    for turn in range(3):
        one, two = (rate(kafka, count, folder, number, turn) for number in (1, 2))
        ratios.append(two / one)
        print(f"one process {one:7.0f}/s   two {two:7.0f}/s   ratio {two / one:.2f}", flush=True)
    print(f"median ratio {sorted(ratios)[1]:.2f}")


def rate(kafka: KafkaSettings, count: int, folder: str, number: int, turn: int) -> float:
    """Requests a second, from a tenth of them to nine tenths, as their comparisons arrive."""
    consumer = make_consumer(kafka, f"watch-{number}-{turn}", **{"auto.offset.reset": "latest"})
    consumer.subscribe([TOPICS.comparisons])
    while not consumer.assignment():
        consumer.poll(0.1)
    consumer.poll(0.5)
    fleet = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "shadowlane",
                "worker",
                "--model",
                "bench",
                "--shadow",
                f"s{number}-{turn}",
            ),
            *("--load", "python:scale_model:busy", "--processes", str(number), "--batch-size", "200"),
            *("--latest", "--health-port", str(PORT)),
            *("--bootstrap-servers", kafka.bootstrap_servers),
        ],
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_ready():
            time.sleep(0.1)
        fill(kafka, count)
        return watched(consumer, count)
    finally:
        fleet.terminate()
        fleet.wait()
        consumer.close()


def is_ready() -> bool:
    """Whether each worker of the fleet has its partitions."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def watched(consumer: Consumer, count: int) -> float:
    """Count what arrives, between a tenth and nine tenths."""
    done, begun = 0, 0.0
    first = 0
    while done < count * 9 // 10:
        done += len(consumer.consume(500, 0.05))
        if not begun and done >= count // 10:
            begun, first = time.monotonic(), done
    return (done - first) / (time.monotonic() - begun)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", choices=["memory", "processes"], default=["memory", "processes"])
    parser.add_argument("--count", type=int)
    args = parser.parse_args()
    for what in args.what:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "scale_model.py").write_text(MODEL)
            sys.path.insert(0, folder)
            with EmbeddedKafka(Path(folder, "kafka")) as embedded:
                kafka = KafkaSettings(embedded.bootstrap_servers)
                create_topics(kafka, default_specs(TOPICS, PARTITIONS))
                if what == "memory":
                    memory(kafka, args.count or 2_000_000)
                else:
                    processes(kafka, args.count or 40_000, folder)


if __name__ == "__main__":
    main()
