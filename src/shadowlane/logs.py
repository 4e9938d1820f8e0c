"""How a command writes its log on stderr: lines for people, or a JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

LogFormat = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: What a line may carry beside its sentence, by `extra={…}`: where a message lies, and what failed.
_EXTRA = ("topic", "partition", "offset", "stage", "error_type")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How this process writes its log; plain values, to be handed to the processes that it starts."""

    format: LogFormat = "text"
    level: int = logging.INFO
    #: What each line in JSON says of the process: its model, shadow, run and worker.
    about: Mapping[str, str] = field(default_factory=dict)


_current = LogSettings()


def configure(settings: LogSettings) -> None:
    """Write the log so, from here on."""
    global _current  # noqa: PLW0603 - there is one log in a process
    _current = settings
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    if settings.format == "json":  # what Python itself would print goes the same way
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught


def current() -> LogSettings:
    """How this process writes its log."""
    return _current


def say_about(**about: str) -> None:
    """Have each line in JSON say this, too."""
    global _current  # noqa: PLW0603 - see above
    _current = replace(_current, about={**_current.about, **about})


class JsonLines(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_current.about,
        }
        line |= {name: getattr(record, name) for name in _EXTRA if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    log.critical("ended by an error that nobody expected", exc_info=(kind, error, traceback))
