"""A server of the Open Inference Protocol, version 2, on loopback, with any fault that a test asks for."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

MODEL = "/v2/models/fraud"
JSON_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Seen:
    """One inference request as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """Its JSON."""
        end = int(self.headers.get(JSON_LENGTH, len(self.body)))
        return dict(json.loads(self.body[:end]))

    @property
    def rows(self) -> int:
        """About how many requests it asks."""
        return int(self.said["inputs"][0]["shape"][0])


Fault = Callable[[BaseHTTPRequestHandler], None]


def total(seen: Seen) -> Any:
    """A model: the sum of a request's numbers, as a score."""
    (tensor,) = seen.said["inputs"]
    rows, width = tensor["shape"]
    data = tensor["data"]
    return [output("total", "FP64", [sum(data[row * width : (row + 1) * width]) for row in range(rows)])]


def output(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    """An output tensor; of rank 1 where no shape is given."""
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


@dataclass
class Script:
    """What the server is and does; a test changes it at any time."""

    inputs: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
    )
    outputs: list[dict[str, Any]] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    is_ready: bool = True
    answer: Callable[[Seen], Any] = total
    #: For each of the next inference requests; without one it is answered.
    faults: deque[Fault | None] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    #: How many connections were made, and how many requests were under way at once at most.
    connections: int = 0
    at_once: int = 0


class InferenceServer:
    """Runs until closed; may be stopped and started again at the same port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script = Script()
        self._tls = tls
        self._port = 0
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    @property
    def uri(self) -> str:
        """The model's URI."""
        return self.url + MODEL

    def start(self) -> None:
        """Listen; again at the same port after a stop."""
        server = _Server(("127.0.0.1", self._port), _handler(self.script))
        if self._tls is not None:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        self._port = server.server_address[1]
        self._server = server
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()


@contextmanager
def inference_server(tls: ssl.SSLContext | None = None) -> Iterator[InferenceServer]:
    """A server for a while."""
    server = InferenceServer(tls)
    try:
        yield server
    finally:
        server.stop()


def status(code: int, body: object = "", **headers: str) -> Fault:
    """Answer with this status."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        text = json.dumps(body).encode() if not isinstance(body, bytes) else body
        _send(handler, code, text, {name.replace("_", "-"): value for name, value in headers.items()})

    return fault


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection before a byte of the answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut(handler: BaseHTTPRequestHandler) -> None:
    """End the connection in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"outputs"')
    handler.wfile.flush()
    handler.close_connection = True


def hang(until: Event) -> Fault:
    """Say nothing until the test says so."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        until.wait(60)
        handler.close_connection = True

    return fault


def drip(until: Event) -> Fault:
    """Begin an answer and send a space of it now and then, for ever."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not until.wait(0.05):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
        handler.close_connection = True

    return fault


def flood(size: int) -> Fault:
    """Send an answer of so many bytes, without saying beforehand how many."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        piece = b" " * 1_000_000
        for _ in range(size // len(piece)):
            try:
                handler.wfile.write(piece)
            except OSError:
                return

    return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is what these tests are about."""

    def cut(self) -> None:
        """End what connections there are."""
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _send(handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: Mapping[str, str]) -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    lock = Lock()
    under_way = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            script.connections += 1

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Nothing: tests look at what was seen."""

        def do_GET(self) -> None:
            if self.path.endswith("/ready"):
                _send(self, 200 if script.is_ready else 503, b"", {})
            elif self.path.endswith(MODEL):
                said = {"name": "fraud", "inputs": script.inputs, "outputs": script.outputs}
                _send(self, 200, json.dumps(said).encode(), {})
            elif self.path.endswith("/v2"):
                said = {"name": "tests", "extensions": script.extensions}
                _send(self, 200, json.dumps(said).encode(), {})
            else:
                _send(self, 404, b'{"error": "no such model"}', {})

        def do_POST(self) -> None:
            nonlocal under_way
            seen = Seen(dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                script.seen.append(seen)
                under_way += 1
                script.at_once = max(script.at_once, under_way)
                fault = script.faults.popleft() if script.faults else None
            try:
                if fault is not None:
                    fault(self)
                else:
                    said = {"model_name": "fraud", "outputs": script.answer(seen)}
                    _send(self, 200, json.dumps(said).encode(), {})
            finally:
                with lock:
                    under_way -= 1

    return Handler
