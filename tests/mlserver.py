"""MLServer, a server of the Open Inference Protocol that others wrote, in an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import sklearn

_ENVIRONMENTS = Path(__file__).parents[1] / ".cache"
# The model's file is read by the scikit-learn that wrote it.
_WANTED = ("mlserver>=1.6,<2", "mlserver-sklearn>=1.6,<2", f"scikit-learn=={sklearn.__version__}")
_START_SECONDS = 120.0


def install() -> Path:
    """The environment's MLServer; made at the first use, which takes about a minute, and then kept."""
    digest = hashlib.sha256("\n".join((sys.version, *_WANTED)).encode()).hexdigest()[:12]
    there = _ENVIRONMENTS / f"mlserver-{digest}"
    if not (there / "made").is_file():
        shutil.rmtree(there, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", there], check=True)
        subprocess.run([there / "bin" / "python", "-m", "pip", "install", "--quiet", *_WANTED], check=True)
        (there / "made").touch()
    return there / "bin" / "mlserver"


@contextmanager
def serving(mlserver: Path, folder: Path, models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Serve the models of these settings, each with its file `NAME.joblib` in the folder; where that is."""
    http, grpc, metrics = _free_ports(3)
    for name, settings in models.items():
        said = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel", **settings}
        said["parameters"] = {"uri": f"../{name}.joblib", **settings.get("parameters", {})}
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(said))
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(
        json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports})
    )
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [mlserver, "start", folder], stdout=log, stderr=log, env=_environment(), start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{http}/v2/health/ready", process, folder / "server.log")
            yield f"http://127.0.0.1:{http}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment() -> dict[str, str]:
    """Without what steers this interpreter; threads that wait for each other's cores help nobody."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    return ours | {"OMP_NUM_THREADS": "1"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = monotonic() + _START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - our own server on loopback
                return
        except (URLError, OSError):
            sleep(0.1)
    raise RuntimeError(f"MLServer did not start:\n{log.read_text()[-3000:]}")
