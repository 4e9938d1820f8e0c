# ruff: noqa: INP001, T201 - a script, read by the container's Python from its standard input
"""Are the requests in the lake, each exactly once, as a comparison or as an error?

lake_check.py N    waits until the lake holds N of them
lake_check.py      waits until it holds all that are on the topic, and errors among them

Run by compose-test inside the aggregator's container.
"""

import os
import sys
import time
from pathlib import Path

import duckdb
from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable

TOPIC = "production-requests"
PATIENCE_SECONDS = 120


def published() -> int:
    """How many requests are on the topic, over all its partitions."""
    servers = os.environ["SHADOWLANE_BOOTSTRAP_SERVERS"]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "lake-check"})
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    marks = [consumer.get_watermark_offsets(TopicPartition(TOPIC, each), timeout=10) for each in partitions]
    consumer.close()
    return sum(high - low for low, high in marks)


def landed(table: str) -> tuple[int, int]:
    """A table's rows at its newest version, and how many of them are different requests' rows."""
    path = Path(os.environ["SHADOWLANE_LAKE"]) / table
    files = DeltaTable(path).file_uris() if DeltaTable.is_deltatable(str(path)) else []
    if not files:
        return 0, 0
    row = duckdb.execute(
        "SELECT count(*), count(DISTINCT (source_topic, source_partition, source_offset, shadow, run)) "
        "FROM read_parquet(?, hive_partitioning = false)",
        [files],
    ).fetchone()
    return row or (0, 0)


goal = int(sys.argv[1]) if len(sys.argv) > 1 else None
deadline = time.monotonic() + PATIENCE_SECONDS
while True:
    requests = published()
    comparisons, different_comparisons = landed("comparisons")
    errors, different_errors = landed("errors")
    rows = comparisons + errors
    once = comparisons == different_comparisons and errors == different_errors
    everything = rows == requests and comparisons > 0 and errors > 0
    done = everything if goal is None else rows >= goal
    if done or not once or time.monotonic() > deadline:
        break
    time.sleep(1)

print(f"{requests} requests on the topic; in the lake: {comparisons} comparisons, {errors} errors")
if not once:
    sys.exit("some are in the lake more than once")
if not done:
    sys.exit(f"not as it should be after {PATIENCE_SECONDS} s")
