"""Which Kafka the tests get: the one given, a container, or the embedded one."""

# ruff: noqa: PLC0415  # the engine's libraries are slow to import, and only this tier needs them

from __future__ import annotations

import gc
import os
import socket
import warnings
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadowlane.kafka import EmbeddedKafka

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

GIVEN = "SHADOWLANE_TEST_BOOTSTRAP_SERVERS"
INSIST = "SHADOWLANE_TEST_KAFKA"
IMAGE = "SHADOWLANE_KAFKA_IMAGE"
DEFAULT_IMAGE = "apache/kafka:4.3.0"
TIERS = ("auto", "container", "embedded")


class TierError(Exception):
    """The tier that was insisted on cannot be had."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A way to get a Kafka, and why it is this one. `start` yields the bootstrap servers."""

    name: str
    why: str
    start: Callable[[Path], AbstractContextManager[str]]

    def __str__(self) -> str:
        return f"Kafka: {self.name} ({self.why})"


def choose(given: str | None, env: Mapping[str, str] = os.environ) -> Tier:
    """Given servers, else a container where one can be had, else the embedded Kafka."""
    servers = given or env.get(GIVEN)
    if servers:
        return Tier("given", servers, lambda _: _given(servers))
    insisted = env.get(INSIST) or "auto"
    if insisted not in TIERS:
        raise TierError(f"{INSIST}={insisted}: must be one of {', '.join(TIERS)}")
    if insisted == "embedded":
        return Tier("embedded", f"{INSIST} insists on it", _embedded)
    image = env.get(IMAGE) or DEFAULT_IMAGE
    obstacle = _obstacle(image)
    if obstacle is None:
        return Tier("container", f"Testcontainers with {image}", lambda _: _container(image))
    if insisted == "container":
        raise TierError(f"{INSIST}=container, but {obstacle}")
    return Tier("embedded", obstacle, _embedded)


@contextmanager
def _given(servers: str) -> Iterator[str]:
    yield servers


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with EmbeddedKafka(folder / "kafka") as kafka:
        yield kafka.bootstrap_servers


@contextmanager
def _container(image: str) -> Iterator[str]:
    with _foreign_warnings():
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        port = _free_port()
        ready = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(90)
        container = DockerContainer(image)
        container.ports["9092/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]  # docker-py takes both
        container.with_envs(**_broker_settings(port)).waiting_for(ready)
        container.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        container.stop()


def _broker_settings(port: int) -> dict[str, str]:
    # The broker checks transactions with itself: it needs a listener (BROKER) whose address
    # leads somewhere inside the container, where the host's port does not.
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "HOST://:9092,BROKER://:19092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://127.0.0.1:{port},BROKER://localhost:19092",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }


def _obstacle(image: str) -> str | None:
    """Why no container can be had, or None."""
    with _foreign_warnings():
        try:
            import docker  # type: ignore[import-untyped]
        except ImportError:
            return "testcontainers is not installed"
        try:
            client = docker.from_env(timeout=120)
        except Exception as failure:
            return f"no Docker engine answers: {_first_line(failure)}"
        try:
            return _image_obstacle(client, image)
        finally:
            client.close()


def _image_obstacle(client: Any, image: str) -> str | None:
    try:
        client.ping()
    except Exception as failure:
        return f"no Docker engine answers: {_first_line(failure)}"
    if not _is_local(client, image):
        try:
            client.images.pull(image)
        except Exception as failure:
            return f"a Docker engine answers, but {image} cannot be pulled: {_first_line(failure)}"
    from testcontainers.core.config import testcontainers_config

    if not _is_local(client, testcontainers_config.ryuk_image):
        # The reaper is a second image; the fixture stops its container by itself.
        testcontainers_config.ryuk_disabled = True
    return None


def _is_local(client: Any, image: str) -> bool:
    try:
        client.images.get(image)
    except Exception:
        return False
    return True


@contextmanager
def _foreign_warnings() -> Iterator[None]:
    """Warnings of libraries about themselves are not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()  # a client that found no engine leaves its socket behind: not in some test's time


def _first_line(failure: Exception) -> str:
    return (str(failure).splitlines() or [type(failure).__name__])[0][:120]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
