"""Requests to one server: kept connections, a time limit over all attempts, and retries of what may pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic, perf_counter_ns
from typing import Literal

import tenacity
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    InvalidHeader,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from shadowlane.replay_worker.models._call_errors import CallError, CallTimeoutError, UnavailableError
from shadowlane.replay_worker.models._http._address import Address
from shadowlane.replay_worker.models._http._headers import Headers

MOST_BYTES = 64 * 1024 * 1024
_ATTEMPTS = 4
_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 2.0
_PIECE = 1024 * 1024
_MOST_TEXT = 300
_WAIT = tenacity.wait_random_exponential(multiplier=0.2, max=2.0)

_OK = 200
_TOO_MANY, _SERVICE_UNAVAILABLE = 429, 503
_PASSING = frozenset({_TOO_MANY, 502, _SERVICE_UNAVAILABLE, 504})
_REDIRECTS = range(300, 400)


class ServerRefusedError(CallError):
    """The server answered that it does not answer."""


class ServerLostError(CallError):
    """The server, or what it asks itself, went away in mid-answer, again and again."""


class AnswerError(CallError):
    """The server's answer is none that can be read."""


#: Whose fault a failure can be: no request's; no request's where the model is not ready; the request's.
Blame = Literal["nobody", "server", "request"]


class _PassingError(CallError):
    """What may be over at the next attempt."""

    def __init__(self, message: str, blame: Blame, after: float = 0.0) -> None:
        super().__init__(message)
        self.blame, self.after = blame, after


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and what the attempt that brought it took."""

    body: bytes
    headers: Mapping[str, str]
    nanoseconds: int
    attempts: int = 1


class Client:
    """Asks one server; used by many threads at once."""

    def __init__(self, address: Address, headers: Headers, *, seconds: float, connections: int) -> None:
        self._address, self._headers, self._seconds = address, headers, seconds
        # urllib3 verifies TLS, looks at SSL_CERT_FILE, and takes no proxy from the environment.
        self._pool = urllib3.connection_from_url(address.server, maxsize=connections, block=True)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send a request, again where its failure may pass.

        Raises:
            UnavailableError: the server is not there, or not ready, for any request.
            CallError: it does not answer this one.
        """
        deadline = monotonic() + self._seconds
        passed: list[_PassingError] = []

        def once() -> Reply:
            try:
                return self._once(method, path, body, headers, deadline)
            except _PassingError as error:
                passed.append(error)
                raise

        try:
            reply = _retrying(deadline)(once)
        except _PassingError as error:
            raise self._verdict(passed) from error
        except CallError as error:
            error.attempts = len(passed) + 1
            raise
        return replace(reply, attempts=len(passed) + 1)

    def is_ready(self) -> bool:
        """Whether the server says that the model can be asked."""
        try:
            deadline = monotonic() + _PROBE_SECONDS
            self._once("GET", f"{self._address.model}/ready", None, {}, deadline)
        except CallError:
            return False
        return True

    def _verdict(self, passed: list[_PassingError]) -> CallError:
        """Of failures that did not pass: the request's own, or everybody's?

        A request that ends the server whenever it is asked must not be asked for ever: once an attempt
        broke off after it had been sent, it may be the request's fault.
        """
        last, attempts, blames = passed[-1], len(passed), {each.blame for each in passed}
        if "request" not in blames and ("server" not in blames or not self.is_ready()):
            return UnavailableError(str(last), attempts=attempts)
        kind = ServerLostError if last.blame == "request" else ServerRefusedError
        return kind(f"{last}, at the last of {attempts} attempts", attempts=attempts)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], deadline: float
    ) -> Reply:
        left = self._left(deadline)
        sent = {**self._headers.now(), **headers}
        begun = perf_counter_ns()
        try:
            response = self._pool.urlopen(
                method,
                path,
                body=body,
                headers=sent,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(left, _CONNECT_SECONDS), read=left),
                pool_timeout=left,  # type: ignore[arg-type] # a queue's timeout, of which fractions are fine
                preload_content=False,
                decode_content=False,
            )
            data = self._read(response, deadline)
        except (ReadTimeoutError, EmptyPoolError):
            raise self._too_late() from None
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise _PassingError(f"{self._address.server}: {_reason(error)}", "nobody") from error
        except ProtocolError as error:
            raise _PassingError(
                f"{self._address.server}: the connection broke off ({_reason(error)})", "request"
            ) from error
        except HTTPError as error:  # TLS, above all
            raise ServerRefusedError(f"{self._address.server}: {_reason(error)}") from error
        took = perf_counter_ns() - begun
        if response.status == _OK:
            return Reply(data, response.headers, took)
        raise self._refusal(response.status, response.headers, data)

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """The answer's body, unless it is too long or too late."""
        pieces, size = [], 0
        try:
            while True:
                _set_timeout(response, self._left(deadline))
                piece = response.read1(_PIECE)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
                _check_size(size)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return b"".join(pieces)

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        if status in _REDIRECTS:
            return ServerRefusedError(
                f"HTTP {status}: the server redirects, which is not followed: give the final address"
            )
        message = f"HTTP {status}: {self._headers.hidden(_said(body))}".rstrip(": ")
        if status not in _PASSING:
            return ServerRefusedError(message)
        blame: Blame = "request"
        if status == _TOO_MANY:
            blame = "nobody"
        elif status == _SERVICE_UNAVAILABLE:
            blame = "server"
        return _PassingError(message, blame, _retry_after(headers.get("Retry-After")))

    def _left(self, deadline: float) -> float:
        left = deadline - monotonic()
        if left <= 0:
            raise self._too_late()
        return left

    def _too_late(self) -> CallTimeoutError:
        return CallTimeoutError(f"no answer within {self._seconds:g} s")


def _retrying(deadline: float) -> tenacity.Retrying:
    def passes(error: BaseException) -> bool:
        return isinstance(error, _PassingError) and monotonic() + error.after < deadline

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        asked_for = error.after if isinstance(error, _PassingError) else 0.0
        return max(0.0, min(asked_for + _WAIT(state), deadline - monotonic()))

    return tenacity.Retrying(
        reraise=True,
        retry=tenacity.retry_if_exception(passes),
        wait=wait,
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
    )


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise AnswerError(f"the server's answer is longer than {MOST_BYTES:,} bytes")


def _set_timeout(response: urllib3.BaseHTTPResponse, seconds: float) -> None:
    """A server that sends a byte now and then must not outlast the deadline."""
    socket = getattr(response.connection, "sock", None)
    if socket is not None:
        socket.settimeout(seconds)


def _reason(error: BaseException) -> str:
    """What the system said, without urllib3's address of an object in memory."""
    inner = error.__cause__ or error.__context__ or error
    why = getattr(inner, "strerror", None)
    return f"{type(inner).__name__}: {why}" if why else type(inner).__name__


def _said(body: bytes) -> str:
    """The server's own reason, of any form, on one line."""
    text = body[:_PIECE].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        text = str(next((found[name] for name in ("error", "detail", "message") if name in found), text))
    return " ".join(text.split())[:_MOST_TEXT]


def _retry_after(value: str | None) -> float:
    if value is None:
        return 0.0
    try:
        return max(0.0, float(urllib3.Retry().parse_retry_after(value)))
    except InvalidHeader:
        return 0.0
