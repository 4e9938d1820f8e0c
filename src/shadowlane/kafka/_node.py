"""One Kafka node's folder: its configuration, its commands, its lock, what it says of itself.

data_dir/
  data/               Kafka's own files; they survive stop and start
  server.properties   written anew at each start, as the ports may differ
  log4j2.properties
  kafka.log           what the JVM printed since the last start (kafka.log.1: the start before)
  state.json          which process runs it, and where
  lock                held by the JVM itself as long as it lives
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shadowlane.errors import KafkaFailedError

if TYPE_CHECKING:
    from typing import Self

SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
log.dirs={data}
# One node cannot hold the three copies that are Kafka's defaults for its own topics.
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# 50 partitions each are for clusters: on one machine they are 100 folders to open at every start.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
# Members join at once; waiting for latecomers is for fleets.
group.initial.rebalance.delay.ms=0
# A mistyped topic must fail, as it does in production.
auto.create.topics.enable=false
"""
LOGGING = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
# It prints each of 300 settings at each start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = WARN
"""
#: The first compiler alone, and one collector thread, halve what a start costs (4.5 to 2.7 s of CPU);
#: 400,000 messages went through no slower.
JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@dataclass(frozen=True, slots=True)
class State:
    """Which process runs a node; `owner` is the process that it dies with, None where detached."""

    pid: int
    port: int
    started: float
    owner: int | None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What was written last, or None."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class Node:
    """The folder of one Kafka node."""

    def __init__(self, data_dir: str | Path) -> None:
        self.folder = Path(data_dir).expanduser().absolute()
        self.log = self.folder / "kafka.log"

    @property
    def marker(self) -> str:
        """What this node's command line contains and no other process's does."""
        return f"-Dshadowlane.kafka={self.folder}"

    @property
    def formatted(self) -> bool:
        """Whether Kafka's files are there."""
        return (self.folder / "data" / "meta.properties").exists()

    @property
    def cluster_id(self) -> str:
        """The id that the storage was formatted with."""
        lines = (self.folder / "data" / "meta.properties").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]

    def prepare(self, port: int, controller_port: int) -> None:
        """Write the configuration for these ports, and put the last log aside."""
        text = SERVER.format(port=port, controller_port=controller_port, data=self.folder / "data")
        (self.folder / "server.properties").write_text(text, encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        if self.log.exists():
            self.log.replace(self.folder / "kafka.log.1")

    def command(self, java: Path, classpath: str, main: str, *arguments: str) -> list[str]:
        """A command line for one of Kafka's classes."""
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return [str(java), self.marker, logging, *JVM, "-cp", classpath, main, *arguments]

    def acquire(self) -> int:
        """Take the lock, for the JVM to inherit: it is then free exactly when no JVM runs here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as failure:
            raise KafkaFailedError(f"{self.folder}: cannot be used ({failure.strerror})") from failure
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise KafkaFailedError(f"{self.folder}: a Kafka runs on this folder already") from None
        return file

    def is_locked(self) -> bool:
        """Whether a JVM runs here."""
        try:
            file = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(file)

    def write_state(self, state: State) -> None:
        """Say who runs it, in one step."""
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(asdict(state)), encoding="utf-8")
        partial.replace(self.folder / "state.json")

    def read_state(self) -> State | None:
        """What was said last; whether it still holds, the lock tells."""
        return State.read(self.folder / "state.json")

    def last_lines(self, count: int = 15) -> str:
        """The end of the log, for a person."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(line[:300] for line in lines[-count:])
