"""A serving process as one finds it in production: it answers requests and publishes them through the hook.

`python -m shadowlane.demo.service --requests 20000`; without a number it goes on until it is stopped.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np

from shadowlane.demo.models import HISTORY, MODEL, NEW_CLINIC, PRIMARY_VERSION, Primary, data
from shadowlane.process import Heartbeat, stopped_by_signals
from shadowlane.producer import Hook
from shadowlane.settings import Settings

log = logging.getLogger(__name__)

_NEW_CLINIC_SHARE = 0.08
_PATIENTS = 5_000
_NOISE = 0.03
_PATIENCE_SECONDS = 60.0
# Who tells it to stop may end Kafka too, and waits half a minute at most.
_STOPPED_SECONDS = 10.0
_LOOK_SECONDS = 0.5


def main() -> None:
    """Serve simulated traffic."""
    parser = argparse.ArgumentParser(description="The demo's serving process.")
    parser.add_argument("--requests", type=int, default=0, help="how many (0: until it is stopped)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (0: as fast as it goes)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with stopped_by_signals() as stop:
        serve(given.requests, given.rate, stop)


def serve(requests: int, rate: float, stop: Event) -> None:
    """Answer so many requests, publish each, and see that all of them were delivered."""
    primary, heartbeat = Primary(), Heartbeat()
    with Hook(model=MODEL, model_version=PRIMARY_VERSION, kafka=Settings.load().kafka) as hook:
        started = time.monotonic()
        for number, (patient, features) in enumerate(_traffic(requests)):
            if stop.is_set():
                break
            heartbeat.beat()
            if rate:
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
            with hook.observe(features, entity_id=patient, segments={"clinic": features["clinic"]}) as call:
                call.prediction = primary.predict_one(features)
        _deliver(hook, stop)
    stats = hook.stats()
    log.info("served %d requests; %d delivered", stats.observed, stats.delivered)
    if stats.delivered != stats.observed:
        log.error("not all were delivered: %s", stats)
        sys.exit(1)


def _deliver(hook: Hook, stop: Event) -> None:
    """Wait until what was published is delivered; once told to stop, not for long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not stop.is_set() and time.monotonic() < deadline:
        if hook.flush(_LOOK_SECONDS):
            break
    hook.close(timeout=_STOPPED_SECONDS)


def _traffic(requests: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Patients as they come: tumours like those of the data set, never quite the same."""
    known, rng = data(), np.random.default_rng(2026)
    clinics = list(HISTORY)
    for _ in range(requests) if requests else itertools.count():
        row = known.traffic[rng.integers(len(known.traffic))]
        row = row * (1 + rng.normal(0, _NOISE, len(row)))
        features: dict[str, Any] = dict(zip(known.features, row.tolist(), strict=True))
        is_new = rng.random() < _NEW_CLINIC_SHARE
        features["clinic"] = NEW_CLINIC if is_new else clinics[rng.integers(len(clinics))]
        yield f"patient-{rng.integers(_PATIENTS)}", features


if __name__ == "__main__":
    main()
