"""What the middlewares for ASGI and WSGI share: which exchanges are observed, and what is kept of one.

An exchange is a request and its answer. The request's own time pays for references to what passes; all
reading happens in the hook's background thread.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from shadowlane.errors import SettingsError
from shadowlane.producer._encode import EPOCH
from shadowlane.producer._hook import Hook
from shadowlane.producer._http import Request, Response
from shadowlane.producer._kept import Kept, Start
from shadowlane.producer._log import described

OfRequest = Callable[[Request], Any]

_ANSWERED = range(200, 300)
# The service sent its caller elsewhere, or refused the request: nobody asked the model.
_NOT_ASKED = range(300, 500)
_NOT_TAKEN = "an exchange was not taken down"
_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Readers:
    """The service's own functions; the background thread calls them, each for each exchange."""

    features: OfRequest
    prediction: Callable[[Response], Any]
    entity_id: OfRequest | None
    request_id: OfRequest | None
    segments: OfRequest | None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            function = getattr(self, name)
            is_left_out = function is None and name not in ("features", "prediction")
            if not is_left_out and (not callable(function) or inspect.iscoroutinefunction(function)):
                raise SettingsError(f"{name} must be a function, and not async: a thread calls it later")

    def read(self, kept: Kept) -> Mapping[str, Any]:
        """The arguments of `Hook.publish`."""
        request, response = kept.asked(), kept.answered()
        # The features come last: whoever makes them of `json()` may take parts out of it.
        return {
            "request_id": (self.request_id or _request_id)(request),
            "entity_id": self.entity_id and self.entity_id(request),
            "segments": self.segments and self.segments(request),
            "prediction": self.prediction(response),
            "features": self.features(request),
            "latency_ms": (kept.ended - kept.began) / 1_000_000,
            "event_time": EPOCH + timedelta(microseconds=kept.event_time),
            "context": kept.trace or _trace(request),
        }


class Rules:
    """Which exchanges of a service are observed, and how they are read.

    Raises:
        SettingsError: the path can never match, or the methods are no methods.
    """

    def __init__(
        self,
        hook: Hook,
        readers: Readers,
        path: str | re.Pattern[str],
        methods: Collection[str],
        max_body: int,
    ) -> None:
        if isinstance(methods, str) or not methods:
            raise SettingsError('methods must name HTTP methods, such as ("POST",)')
        self.hook, self.readers, self.max_body = hook, readers, max_body
        self._methods = frozenset(method.upper() for method in methods)
        self._pattern = _pattern(path)

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """What the path has for the names in the rule's path; None where the exchange is not observed."""
        found = self._pattern.fullmatch(path) if method in self._methods else None
        return None if found is None else found.groupdict("")

    def begin(self, start: Start) -> Exchange:
        """Observe an exchange."""
        return Exchange(self, Kept(start, self.max_body))

    def failed(self, error: BaseException) -> None:
        """Count an exchange that could not be observed."""
        self.hook.refuse("not_encodable", f"{_NOT_TAKEN}: {described(error)}")


class Exchange:
    """An exchange under way."""

    __slots__ = ("_kept", "_rules")

    def __init__(self, rules: Rules, kept: Kept) -> None:
        self._rules = rules
        self._kept: Kept | None = kept

    def watch(self, look: Callable[..., None], *passing: Any) -> None:
        """Look at what passes; nothing that goes wrong here reaches who passes it."""
        kept = self._kept
        if kept is not None:
            try:
                look(kept, *passing)
            except Exception as error:
                kept.passes_unseen(f"{_NOT_TAKEN}: {described(error)}")

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will come that is to be kept."""
        return self._kept is not None and self._kept.response.is_complete

    def close(self) -> None:
        """Hand it to the hook as what it has come to; once."""
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                self._hand_over(kept)
            except Exception as error:
                self._rules.failed(error)

    def _hand_over(self, kept: Kept) -> None:
        rules, hook = self._rules, self._rules.hook
        if kept.status in _NOT_ASKED:
            return
        if kept.status not in _ANSWERED or not kept.is_answered:
            hook.primary_failed()
        elif kept.request.is_too_large or kept.response.is_too_large:
            hook.refuse("too_large", f"a body is larger than max_body, which is {rules.max_body} bytes")
        elif kept.fault:
            hook.refuse("not_encodable", kept.fault)
        else:
            hook.defer(partial(rules.readers.read, kept), size=kept.size)


def _pattern(path: str | re.Pattern[str]) -> re.Pattern[str]:
    """Of a path such as /models/{name}/predict.

    Raises:
        SettingsError: it can never match.
    """
    if isinstance(path, re.Pattern):
        return path
    parts = _NAME.split(path)
    if not path.startswith("/") or re.search("[{}<>?]", "".join(parts[::2])):
        raise SettingsError(
            f"path {path!r} must be like /predict or /models/{{name}}/predict, or a compiled pattern "
            "that the whole path must match"
        )
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    )


def _request_id(request: Request) -> str | None:
    return request.headers.get("x-request-id")


def _trace(request: Request) -> Mapping[str, str] | None:
    trace = request.headers.get("traceparent")
    return {"traceparent": trace} if trace else None
