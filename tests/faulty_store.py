"""A proxy before an object store, which passes requests on and does what a test asks with some of them.

It also fills gaps of stand-ins: of two who create the same object in S3 one is always refused, S3 behind it
answers Google's clients, and Azure's emulator lists from where it was asked to.
"""

from __future__ import annotations

import http.client
import math
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

#: An S3 that keeps no accounts only wants to see that somebody signed.
_SOMEBODY = (
    "AWS4-HMAC-SHA256 Credential=google/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)
_NOT_PASSED_ON = ("connection", "transfer-encoding", "date", "server", "content-length")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The path, without the question behind it."""
        return urlsplit(self.target).path

    @property
    def call(self) -> str:
        """What S3 calls it."""
        asked = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        if self.method == "POST":
            return "DeleteObjects" if "delete" in asked else "MultipartUpload"
        if self.method == "PUT":
            return "UploadPart" if "partNumber" in asked else "PutObject"
        if self.method == "GET":
            return "ListObjectsV2" if "list-type" in asked else "GetObject"
        return {"HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(self.method, self.method)

    @property
    def is_commit(self) -> bool:
        """Whether it writes a version of a table's log."""
        return self.method == "PUT" and "/_delta_log/0" in self.path and self.path.endswith(".json")

    @property
    def is_data(self) -> bool:
        """Whether it writes rows."""
        return self.method == "PUT" and self.path.endswith(".parquet") and "_delta_log" not in self.path


Matcher = Callable[[Request], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the store's place."""

    status: int
    code: str

    @property
    def body(self) -> bytes:
        """What S3 says with such a status."""
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{self.code}</Code><Message>{self.code}'
            "</Message><RequestId>1</RequestId></Error>"
        ).encode()


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, with half of the request read."""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Have the store do it, and reset the connection in place of the answer."""


@dataclass(frozen=True, slots=True)
class Without:
    """Pass it on without a header, as a store does that does not know it."""

    header: str


Deed = Answer | Reset | LoseAnswer | Without


@dataclass(slots=True)
class Rule:
    """What is done with which requests, how often still, and how often it was."""

    matches: Matcher
    deed: Deed
    left: float
    done: int = 0


@dataclass(slots=True)
class FaultyStore:
    """The proxy's books: what it was asked, and what it is to do."""

    url: str
    requests: list[Request] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def doing(self, deed: Deed, matches: Matcher = lambda _: True, times: float = math.inf) -> Iterator[Rule]:
        """Do this with requests that match, so many times at most, for as long as the block lasts."""
        rule = Rule(matches, deed, times)
        with self._lock:
            self._rules.append(rule)
        try:
            yield rule
        finally:
            with self._lock:
                self._rules.remove(rule)

    def calls(self) -> dict[str, int]:
        """How often each kind of call came in."""
        with self._lock:
            return {
                call: sum(each.call == call for each in self.requests)
                for call in sorted({each.call for each in self.requests})
            }

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self.requests.clear()

    def take(self, request: Request) -> Deed | None:
        """Note a request; what is to be done with it."""
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.left > 0 and rule.matches(request):
                    rule.left -= 1
                    rule.done += 1
                    return rule.deed
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    store: FaultyStore
    behind: tuple[str, int]
    creating: Lock

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method alike."""
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def _pass(self) -> None:
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        length = int(request.headers.get("content-length") or 0)
        deed = self.server.store.take(request)
        if isinstance(deed, Reset):
            self.rfile.read(length // 2)
            self._hang_up()
            return
        body = self.rfile.read(length)
        if isinstance(deed, Answer):
            self._answer(deed.status, [("Content-Type", "application/xml")], deed.body)
            return
        dropped = deed.header if isinstance(deed, Without) else ""
        answer = self._ask(request, body, dropped)
        if isinstance(deed, LoseAnswer):
            self._hang_up()
            return
        self._answer(*answer)

    def _ask(self, request: Request, body: bytes, dropped: str) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in request.headers.items() if name != dropped}
        if not headers.get("authorization", "").startswith(("AWS4", "SharedKey")):
            headers["authorization"] = _SOMEBODY
        if headers.pop("x-goog-if-generation-match", None) == "0":
            headers["if-none-match"] = "*"
        # Of several that create the same object at once, the stand-in behind lets two succeed now and then.
        with self.server.creating if "if-none-match" in headers else nullcontext():
            return self._forward(request, body, headers)

    def _forward(
        self, request: Request, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        behind = http.client.HTTPConnection(*self.server.behind, timeout=60)
        try:
            behind.request(request.method, request.target, body or None, headers)
            answer = behind.getresponse()
            return answer.status, answer.getheaders(), _from(request, answer.read())
        finally:
            behind.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self) -> None:
        """With a reset, not an orderly end."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing: the books are kept elsewhere."""


def _from(request: Request, body: bytes) -> bytes:
    """A list of Azure's from where it was asked to begin, as its emulator does not do it yet."""
    start = parse_qs(urlsplit(request.target).query).get("startFrom")
    if start is None:
        return body

    def kept(blob: re.Match[bytes]) -> bytes:
        return blob[0] if blob[1].decode() >= start[0] else b""

    return re.sub(rb"<Blob><Name>(.*?)</Name>.*?</Blob>", kept, body, flags=re.DOTALL)


@contextmanager
def faulty_store(url: str) -> Iterator[FaultyStore]:
    """A proxy before the store at this URL."""
    behind = urlsplit(url)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.creating = Lock()
    server.behind = (behind.hostname or "", behind.port or 0)
    server.store = FaultyStore(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
