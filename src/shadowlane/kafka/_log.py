"""librdkafka's log, routed into Python logging (`shadowlane.kafka`).

A lost broker makes librdkafka say the same thing many times a second. Here it is one WARNING
when a cluster is lost and one when it is back, for all clients of a process together; every
line of librdkafka's own stays at DEBUG.

Log lines, errors and statistics reach Python when the client is polled, on the polling thread.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

from shadowlane.kafka._errors import HANGS_UP, NO_TLS, REFUSED

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from shadowlane.settings import KafkaSettings

logger = logging.getLogger("shadowlane.kafka")

#: librdkafka has no callback for "connected again": its statistics say so, at this pace.
STATISTICS_MS = 2000
#: A broker that hangs up is an error to nobody: only this line of the log says so.
HANG_UP = re.compile(r"\]: (.*Disconnected.*)")
GREETING = re.compile("in state (APIVERSION_QUERY|SSL_HANDSHAKE)")


class Cluster:
    """Which clients of this process have lost a cluster; the first to lose it and the last one back speak."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        # Weak, so that a client that was closed while down does not keep the cluster lost for ever.
        self._lost: weakref.WeakSet[ClientLog] = weakref.WeakSet()

    def lost(self, client: ClientLog, reason: str) -> None:
        """A client lost its last broker."""
        with self._lock:
            first = not self._lost
            self._lost.add(client)
        if first:
            logger.warning("Kafka at %s is lost: %s; trying again", self.name, reason)

    def back(self, client: ClientLog) -> None:
        """A client reached a broker again."""
        with self._lock:
            was_lost = client in self._lost
            self._lost.discard(client)
            last = was_lost and not self._lost
        if last:
            logger.warning("Kafka at %s is back", self.name)

    def is_lost(self, client: ClientLog) -> bool:
        """Whether this client waits for a broker."""
        with self._lock:
            return client in self._lost


_clusters: dict[tuple[int, str], Cluster] = {}


def cluster_of(settings: KafkaSettings) -> Cluster:
    """The cluster that clients with these settings share, in this process (a fork starts afresh)."""
    key = (os.getpid(), settings.bootstrap_servers)
    return _clusters.setdefault(key, Cluster(settings.bootstrap_servers))


class ClientLog:
    """What one client installs: its `logger`, `error_cb` and `stats_cb`."""

    def __init__(self, settings: KafkaSettings, cluster: Cluster | None = None) -> None:
        self._settings = settings
        self._cluster = cluster or cluster_of(settings)
        self._reason = "no broker answers"

    def config(self) -> dict[str, Any]:
        """The properties that route a client's log here."""
        return {
            "logger": self,
            "error_cb": self.on_error,
            "stats_cb": self.on_statistics,
            "statistics.interval.ms": STATISTICS_MS,
        }

    def log(self, _level: int, line: str, *args: object) -> None:
        """A line of librdkafka's (its client calls this as it would a `logging.Logger`)."""
        text = self._settings.scrub(line % args)
        logger.debug("%s", text)
        hang_up = HANG_UP.search(text)
        if hang_up and GREETING.search(text):  # not one that was talking to us, and stops
            self._reason = f"{HANGS_UP} ({hang_up[1]})"

    def on_error(self, error: KafkaError) -> None:
        """An error that librdkafka mostly deals with by itself."""
        text = self._settings.scrub(error.str())
        logger.debug("%s: %s", error.name(), text)
        if error.name() in REFUSED:
            self._cluster.lost(self, f"it refuses us ({text})")
        elif error.name() in NO_TLS or "SSL routines" in text:  # some come as an error of the transport
            self._cluster.lost(self, f"no TLS connection ({text})")
        elif error.name() == "_ALL_BROKERS_DOWN":
            self._cluster.lost(self, self._reason)
        else:
            self._reason = text

    def on_statistics(self, statistics: str) -> None:
        """Read librdkafka's statistics, while lost only: they are the sign that a broker is back."""
        if self._cluster.is_lost(self):
            brokers = json.loads(statistics)["brokers"].values()
            if any(broker["state"] == "UP" for broker in brokers):
                self._cluster.back(self)
