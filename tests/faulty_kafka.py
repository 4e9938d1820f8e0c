"""A real Kafka that a test may kill, restart, suspend and slow down, and that checks who may write."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not declared so
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
)
from shadowlane.kafka._embedded import _free_port
from shadowlane.kafka._node import Node

USER, PASSWORD = "service", "of-a-test"
GENEROUS = 60.0
PARTITIONS = 2
#: The default waits up to ten seconds between two tries, which is for long outages.
PROMPT = {"reconnect.backoff.max.ms": "300"}

#: Java lets the last line about a property win. Who comes in by the old door may do anything;
#: the second one asks for a name, and that name may do only what it is granted.
AUTHORIZER = """
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},NAMED://127.0.0.1:{named}
advertised.listeners=CLIENTS://127.0.0.1:{port},NAMED://127.0.0.1:{named}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,NAMED:SASL_PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
# One that was killed is let in again when the controller has given up on it; the default is nine seconds.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
listener.name.named.sasl.enabled.mechanisms=PLAIN
listener.name.named.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
"""


class FaultyKafka:
    """One node; it keeps its ports and its data from start to start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._named = _free_port(), _free_port()
        self._kafka = self._new()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._kafka = self._new()
        self._kafka.start()

    def stop(self) -> None:
        """Shut it down."""
        self._kafka.stop()

    def kill(self) -> None:
        """End the JVM as kill -9 does, and see it gone."""
        os.kill(self._jvm, signal.SIGKILL)
        wait_until(lambda: not self._kafka.running and not self._kafka._node.is_locked())

    def suspend(self) -> None:
        """Stop it where it is: its port still takes connections, and nobody answers."""
        os.kill(self._jvm, signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `suspend`."""
        os.kill(self._jvm, signal.SIGCONT)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stopped where it is for a while."""
        self.suspend()
        try:
            yield
        finally:
            self.go_on()

    @contextmanager
    def slow(self) -> Iterator[None]:
        """For a while it runs a tenth of the time."""
        over = Event()

        def slow_down() -> None:
            while not over.wait(0.03):
                with self.suspended():
                    over.wait(0.3)

        brake = Thread(target=slow_down)
        brake.start()
        try:
            yield
        finally:
            over.set()
            brake.join()

    def topics(self, **changes: int) -> TopicNames:
        """Fresh topics, each of them with these changes to its spec."""
        names = TopicNames(f"{uuid.uuid4().hex[:12]}-")
        specs = default_specs(names, PARTITIONS)
        create_topics(self.settings(), [replace(spec, **changes) for spec in specs])  # type: ignore[arg-type]
        return names

    def settings(self, topics: TopicNames | None = None, **client: str) -> KafkaSettings:
        """How to come in by the door where nobody is asked."""
        prefix = topics.prefix if topics else ""
        return KafkaSettings(f"127.0.0.1:{self._port}", topic_prefix=prefix, client=PROMPT | client)

    def named_settings(self, topics: TopicNames) -> KafkaSettings:
        """How to come in as somebody who may do only what was granted."""
        return KafkaSettings.load(
            env={},
            bootstrap_servers=f"127.0.0.1:{self._named}",
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username=USER,
            sasl_password=PASSWORD,
            topic_prefix=topics.prefix,
        )

    def grant(self, topic: str, operation: AclOperation) -> None:
        """Let the named one do this with a topic."""
        binding = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        admin = make_admin(self.settings())  # its answers end with it
        for answer in admin.create_acls([binding]).values():
            answer.result(GENEROUS)

    @property
    def _jvm(self) -> int:
        """The process is its guard; the JVM is the guard's one child."""
        guard = self._kafka._process
        assert guard is not None
        found = subprocess.run(["pgrep", "-P", str(guard.pid)], capture_output=True, text=True, check=True)  # noqa: S607
        return int(found.stdout)

    def _new(self) -> EmbeddedKafka:
        kafka = EmbeddedKafka(self._folder, self._port)
        kafka._node = _AuthorizingNode(self._folder, self._named)
        return kafka


class _AuthorizingNode(Node):
    """A node that checks who may write, and a second door for those who are checked."""

    def __init__(self, data_dir: Path, named: int) -> None:
        super().__init__(data_dir)
        self._named = named

    def prepare(self, port: int, controller_port: int) -> None:
        """Write the configuration, and these lines after it."""
        super().prepare(port, controller_port)
        lines = AUTHORIZER.format(
            port=port, controller_port=controller_port, named=self._named, user=USER, password=PASSWORD
        )
        with (self.folder / "server.properties").open("a", encoding="utf-8") as file:
            file.write(lines)


def wait_until(true: Callable[[], object], seconds: float = GENEROUS) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
