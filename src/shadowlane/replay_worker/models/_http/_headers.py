"""What is sent with each request beside the tensors: credentials, from where no log shows them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Lock

from shadowlane.errors import ModelError
from shadowlane.replay_worker.models._call_errors import SHADOW_HEADER

#: Lines of `Name: value`, or the file that holds them.
HEADERS, HEADERS_FILE = "SHADOWLANE_MODEL_HEADERS", "SHADOWLANE_MODEL_HEADERS_FILE"
SHADOW = {SHADOW_HEADER: "true"}

_SHORTEST_SECRET = 6
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {"content-length", "content-type", "host", "inference-header-content-length", "traceparent"}
    | {"transfer-encoding", *map(str.lower, SHADOW)}
)


class Headers:
    """The user's own headers. A file is read again when it changes: tokens that are mounted are renewed."""

    def __init__(self) -> None:
        text, path = os.environ.get(HEADERS), os.environ.get(HEADERS_FILE)
        self._given = _read(text, HEADERS) if text else {}
        self._path = Path(path) if path else None
        self._changed: int | None = None
        self._from_file: dict[str, str] = {}
        self._lock = Lock()
        self.now()

    def now(self) -> dict[str, str]:
        """What to send at this moment; while the file is away, what stood there before.

        Raises:
            ModelError: the file cannot be read, or holds something else.
        """
        if self._path is None:
            return self._given | SHADOW
        with self._lock:
            try:
                changed = self._path.stat().st_mtime_ns
                if changed != self._changed:
                    self._from_file, self._changed = _read(self._path.read_text(), HEADERS_FILE), changed
            except (OSError, UnicodeDecodeError) as error:
                if self._changed is None:
                    raise ModelError(f"{HEADERS_FILE}: {type(error).__name__}, for {self._path}") from None
            return self._given | self._from_file | SHADOW

    def hidden(self, text: str) -> str:
        """A server's text without what was sent to it in confidence."""
        for value in (*self._given.values(), *self._from_file.values()):
            for secret in (value, value.rpartition(" ")[2]):  # of "Bearer abc" also "abc"
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, "***")
        return text


def _read(text: str, source: str) -> dict[str, str]:
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not (colon and value and _NAME.fullmatch(name) and value.isascii() and value.isprintable()):
            raise ModelError(f"{source}: line {number} is no header: write Name: value, one a line")
        if name.lower() in _OURS:
            raise ModelError(f"{source}: line {number}: {name} is set by shadowlane itself")
        headers[name] = value
    return headers
