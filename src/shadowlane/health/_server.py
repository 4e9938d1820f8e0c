"""What the outside asks a long-running command over HTTP: /livez, /readyz and /metrics.

None of them asks Kafka, a model or the lake: they tell what the command said of itself.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock, Thread
from typing import Any, NamedTuple

from shadowlane.errors import SettingsError

log = logging.getLogger(__name__)

_PLAIN = "text/plain; charset=utf-8"
# A probe takes milliseconds. Past so many at once the oldest is hung up on: it is slow, or means no good.
_AT_ONCE = 16
_SECONDS = 5.0


class Health(NamedTuple):
    """Where to answer; port 0: wherever the machine has one free."""

    port: int
    host: str = "127.0.0.1"


class View(NamedTuple):
    """How a command stands: why it is not alive, why it is not ready (nothing: it is), and its metrics."""

    stuck: Sequence[str]
    unready: Sequence[str]
    #: As who asks accepts them, and of which type that is; ModuleNotFoundError without `[prometheus]`.
    metrics: Callable[[str], tuple[bytes, str]]


Look = Callable[[], View]


class Answer(NamedTuple):
    """What a path is answered with."""

    status: HTTPStatus
    body: bytes
    content_type: str = _PLAIN


@contextmanager
def answering(health: Health | None, look: Look) -> Iterator[None]:
    """Answer while the block runs, from threads of its own; `look` says how the command stands.

    Raises:
        SettingsError: the address is taken, or none of this machine's.
    """
    if health is None:
        yield
        return
    try:
        server = _Server(health, look)
    except OSError as error:
        why = error.strerror or error
        raise SettingsError(f"--health-port: {health.host}:{health.port} cannot be used: {why}") from error
    thread = Thread(target=server.serve_forever, args=(0.1,), name="shadowlane-health", daemon=True)
    thread.start()
    log.info("health and metrics at http://%s:%d/", _for_url(health.host), server.server_address[1])
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(path: str, accept: str, view: View) -> Answer:
    """The answer to one request."""
    if path == "/livez":
        return _verdict(view.stuck)
    if path == "/readyz":
        return _verdict(view.unready)
    if path == "/metrics":
        return _metrics(view, accept)
    return Answer(HTTPStatus.NOT_FOUND, b"/livez, /readyz or /metrics\n")


def _verdict(reasons: Sequence[str]) -> Answer:
    """All is well, or why it is not, a line for each reason."""
    if not reasons:
        return Answer(HTTPStatus.OK, b"ok\n")
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{each}\n" for each in reasons).encode())


def _metrics(view: View, accept: str) -> Answer:
    try:
        return Answer(HTTPStatus.OK, *view.metrics(accept))
    except ModuleNotFoundError:
        why = b"metrics need an extra: pip install 'shadowlane[prometheus]'\n"
        return Answer(HTTPStatus.NOT_IMPLEMENTED, why)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and a bound on them that no slow client can hold."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, health: Health, look: Look) -> None:
        if ":" in health.host:
            self.address_family = socket.AF_INET6
        self.look = look
        self._open: deque[socket.socket] = deque()
        self._lock = Lock()
        super().__init__((health.host, health.port), _Handler)

    def server_bind(self) -> None:
        """Without the base's question for our name, which waits for a name server."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give it a thread; one too many, and the oldest is hung up on."""
        with self._lock:
            self._open.append(request)
            oldest = self._open.popleft() if len(self._open) > _AT_ONCE else None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is answered, or gone."""
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or that was hung up on: none of ours to mend."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Answer, without a cache between us and who asks."""
        path = self.path.partition("?")[0]
        try:
            said = answer(path, self.headers.get("Accept", ""), self.server.look())
        except Exception:
            log.exception("a request for health or metrics could not be answered")
            said = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"the log says why\n")
        self.send_response(said.status)
        for name, value in (
            ("Content-Type", said.content_type),
            ("Content-Length", str(len(said.body))),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)

    do_HEAD = do_GET  # noqa: N815 - the server looks it up by this name

    def version_string(self) -> str:
        """Which software answers."""
        return "shadowlane"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the server names it
        """Probes come every few seconds: not a line each."""


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
