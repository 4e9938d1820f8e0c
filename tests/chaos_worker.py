"""A worker as `shadowlane worker` runs one, with intervals that a test can wait for."""

from __future__ import annotations

import json
import logging
import os
import sys

from shadowlane.errors import ShadowlaneError
from shadowlane.kafka import KafkaSettings
from shadowlane.process import leave_with_parent, stopped_by_signals
from shadowlane.replay_worker import ErrorCeiling, Isolation, ModelSource, Target, WorkerPlan, run_one


def main(given: dict[str, str]) -> int:
    """Work until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    kafka = KafkaSettings(given["servers"], topic_prefix=given["prefix"], client=json.loads(given["client"]))
    plan = WorkerPlan(
        Target("fraud", "s"),
        ModelSource(given["load"]),
        ceiling=ErrorCeiling(1.0, consecutive=0),
        isolation=Isolation(kind="none" if given["isolation"] == "none" else "process"),
        batch_size=100,
        group_protocol="consumer" if given["protocol"] == "consumer" else "classic",
        grace_seconds=float(given["grace"]),
    )
    with stopped_by_signals() as stop:
        leave_with_parent(os.getppid())
        try:
            run_one(plan, kafka, given["worker_id"] or None, stop)
        except ShadowlaneError as error:
            logging.getLogger().error("%s", error)  # noqa: TRY400 - as the command does
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
