"""Aggregators as processes, for tests that kill, stop and double them; and what they have landed so far."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from lake_accounting import Judgement, assert_exactly_once
from shadowlane.kafka import KafkaSettings

SCRIPT = Path(__file__).parent / "chaos_aggregator.py"
#: For a machine that does much else.
PATIENCE = 90.0
MEMBER = {"flush_rows": 40, "flush_seconds": 0.3}
CATCH_UP = {"until_caught_up": True, "flush_rows": 40}
#: The shortest that a broker takes; whoever is silent for so long is out.
IMPATIENT = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000", "reconnect.backoff.max.ms": "300"}


class Aggregators:
    """Starts aggregators that land in one lake; what still runs at the end is killed."""

    def __init__(self, folder: Path, settings: KafkaSettings) -> None:
        self._settings = settings
        self.lake = folder / "lake"
        self.log = folder / "aggregators.log"
        self.started: list[subprocess.Popen[str]] = []
        self._forges: dict[str, subprocess.Popen[str]] = {}

    def start(
        self, plan: dict[str, Any] = MEMBER, *, run: bool = True, asleep_at: str = ""
    ) -> subprocess.Popen[str]:
        """One more: a member of the group, or one that catches up."""
        given = {
            "servers": self._settings.bootstrap_servers,
            "prefix": self._settings.topic_prefix,
            "client": {**IMPATIENT, **self._settings.client},
            "lake": str(self.lake),
            "plan": plan,
            "checkpoint_interval": "5",
            "run": run,
            "asleep_at": asleep_at,
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.started.append(process)
        return process

    def catch_up(self, step: str = "", count: int = 0) -> int:
        """Run one until all is landed, or until it kills itself; its exit code."""
        return self.begin("aggregate", step, count)()

    def begin(self, work: str, step: str = "", count: int = 0, *, forge: str = "") -> Callable[[], int]:
        """Have one aggregate or compact; what waits for its end and gives its exit code."""
        if forge not in self._forges:
            self._forges[forge] = self.start(CATCH_UP, run=False)
        ask, answer = self._forges[forge].stdin, self._forges[forge].stdout
        assert ask is not None
        assert answer is not None
        ask.write(json.dumps([work, step, count]) + "\n")
        ask.flush()
        return lambda: int(answer.readline() or "99")

    def assert_each_message_landed_once(self) -> Judgement:
        """Once the last of them is landed, the lake holds what Kafka does."""
        assert self.catch_up() == 0
        settings = self._settings
        return assert_exactly_once(
            settings.bootstrap_servers, self.lake, settings.topic_prefix, leftovers=True
        )

    @property
    def running(self) -> list[subprocess.Popen[str]]:
        """Those that have not ended."""
        return [each for each in self.started if each.poll() is None]

    def close(self) -> None:
        """End all of them by force."""
        for each in self.started:
            if each.poll() is None:
                each.send_signal(signal.SIGCONT)
                each.kill()
            each.communicate()


def wait_until(true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def is_stopped(process: subprocess.Popen[str]) -> bool:
    """Whether it stands still, by a signal."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def landed(lake: Path, table: str = "comparisons") -> int:
    """How many rows a table has by its log; none where there is no table yet."""
    path = str(lake / table)
    return int(DeltaTable(path).count()) if DeltaTable.is_deltatable(path) else 0


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Each ends in good order when it is told to."""
    for each in processes:
        each.terminate()
    assert [each.wait(PATIENCE) for each in processes] == [0] * len(processes)
