"""Are the requests in the lake, each exactly once, as a comparison or as an error?

lake-check.py N    waits until the lake holds N of them
lake-check.py      waits until it holds all that are on the topic, and until the hook's own counts say the same

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
    consumer = Consumer({"bootstrap.servers": os.environ["SHADOWLANE_BOOTSTRAP_SERVERS"], "group.id": "lake-check"})
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    marks = [consumer.get_watermark_offsets(TopicPartition(TOPIC, each), timeout=10) for each in partitions]
    consumer.close()
    return sum(high - low for low, high in marks)


def ask(table: str, figures: str) -> tuple[int, ...]:
    """Figures of one table, at its newest version; zeros where there is no table yet."""
    path = Path(os.environ["SHADOWLANE_LAKE"]) / table
    files = DeltaTable(path).file_uris() if DeltaTable.is_deltatable(str(path)) else []
    if not files:
        return (0, 0)
    row = duckdb.execute(f"SELECT {figures} FROM read_parquet(?, hive_partitioning = false)", [files]).fetchone()
    return tuple(row or ())


IDENTITIES = "count(*), count(DISTINCT (source_topic, source_partition, source_offset, shadow, run))"

goal = int(sys.argv[1]) if len(sys.argv) > 1 else None
deadline = time.monotonic() + PATIENCE_SECONDS
while True:
    requests = published()
    comparisons, different_comparisons = ask("comparisons", IDENTITIES)
    errors, different_errors = ask("errors", IDENTITIES)
    rows = comparisons + errors
    once = comparisons == different_comparisons and errors == different_errors
    if goal is None:
        done = rows == requests > 0 and min(comparisons, errors) > 0
    else:
        done = rows >= goal
    if done or not once or time.monotonic() > deadline:
        break
    time.sleep(1)

print(f"{requests} requests on the topic; in the lake {comparisons} comparisons and {errors} errors", flush=True)
if not once:
    sys.exit("some are in the lake more than once")
if not done:
    sys.exit(f"not as it should be after {PATIENCE_SECONDS} s")
