"""The demo's serving process, as its supervisors meet it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def test_it_leaves_in_time_when_it_is_stopped_with_kafka_gone(tmp_path: Path) -> None:
    """Told to stop while nothing can be delivered, it gives up within the half minute that it is given."""
    beat = tmp_path / "beat"
    env = {**os.environ, "SHADOWLANE_BOOTSTRAP_SERVERS": "127.0.0.1:9", "SHADOWLANE_HEARTBEAT": str(beat)}
    command = [sys.executable, "-m", "shadowlane.demo.service", "--rate", "50"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as service:
        try:
            deadline = time.monotonic() + 60
            while not beat.exists():  # from then on at least one request waits
                assert service.poll() is None
                assert time.monotonic() < deadline, "it never began to serve"
                time.sleep(0.05)
            service.send_signal(signal.SIGTERM)
            _, said = service.communicate(timeout=30)
        finally:
            service.kill()
    assert service.returncode == 1
    assert "not all were delivered" in said
