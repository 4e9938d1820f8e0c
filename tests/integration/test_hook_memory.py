"""A million requests while Kafka is away: the process that publishes them does not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

REQUESTS = 1_000_000
#: What an allocator may keep for itself; that many requests kept would be a thousand times as much.
SLACK_KIB = 8 * 1024

#: Fills both queues, the hook's and librdkafka's, at a pace that the background thread keeps; says after
#: 100,000 requests, and at the end, how much memory the process has.
SERVICE = """
import json, sys, time
from pathlib import Path
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook, Limits

requests, limits, client = int(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", client=client)
hook = Hook(model="ranker", kafka=kafka, limits=Limits(**limits))
features = {f"feature_{number}": number / 7 for number in range(20)}
longest = made = 0

def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

def publish(until, most=10**9):
    global made, longest
    while made < until and most:
        begun = time.perf_counter()
        hook.publish(features=features, prediction=0.5, entity_id=f"user-{made}")
        longest = max(longest, time.perf_counter() - begun)
        made, most = made + 1, most - 1

while not hook.stats().dropped:
    publish(requests, 200)
    time.sleep(0.005)
publish(requests / 10)
before = resident()
publish(requests)
after = resident()
hook.close(timeout=1)
stats = hook.stats()
print(json.dumps({
    "before": before, "after": after, "longest": longest, "observed": stats.observed,
    "dropped": sum(stats.dropped.values()), "published": stats.published, "failed": stats.failed,
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("limits", "client"),
    [
        pytest.param({}, {}, id="default"),
        pytest.param({"queue_size": 500}, {"queue.buffering.max.messages": "500"}, id="small"),
    ],
)
def test_a_million_requests_without_a_broker(limits: dict[str, int], client: dict[str, str]) -> None:
    """With full queues memory stays as it is, no call waits, and each request is accounted for."""
    command = [sys.executable, "-c", SERVICE, str(REQUESTS), json.dumps(limits), json.dumps(client)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=240, check=True)
    found = json.loads(done.stdout)
    assert found["after"] - found["before"] < SLACK_KIB
    assert found["observed"] == REQUESTS == found["dropped"] + found["published"]
    assert found["published"] == found["failed"]
    assert found["longest"] < 1.0
