"""The log as JSON, as a machine reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import Any

from shadowlane.errors import Place

PROGRAM = """
import logging, sys, warnings
from shadowlane import logs
logs.configure(logs.LogSettings(sys.argv[1], logging.INFO, {"worker": "w-0"}))
logs.say_about(model="fraud", run="live")
log = logging.getLogger("shadowlane.test")
"""


def said(program: str, log_format: str = "json") -> list[str]:
    """What a program with such a log writes to stderr, line by line."""
    command = [sys.executable, "-c", PROGRAM + program, log_format]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60
    ).stderr.splitlines()


def objects(program: str) -> list[dict[str, Any]]:
    """The lines as the objects that they are."""
    return [json.loads(line) for line in said(program)]


def test_a_line_is_an_object_that_says_whose_it_is() -> None:
    """With the process's own names, and the place of the message that it is about."""
    (line,) = objects(
        "log.warning('%d errors', 3, extra={'topic': 't', 'partition': 2, 'offset': 41, 'payload': 'secret'})"
    )
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "WARNING",
        "logger": "shadowlane.test",
        "message": "3 errors",
        "worker": "w-0",
        "model": "fraud",
        "run": "live",
        "topic": "t",
        "partition": 2,
        "offset": 41,
    }


def test_what_has_several_lines_stays_one() -> None:
    """A trace, and a message with a line break."""
    first, second = objects("log.info('a\\nb')\ntry:\n  1/0\nexcept ZeroDivisionError:\n  log.exception('c')")
    assert first["message"] == "a\nb"
    assert "ZeroDivisionError" in second["exception"]


def test_what_python_says_itself_is_an_object_too() -> None:
    """Its warnings, and the error that ends it."""
    warning, end = objects("warnings.warn('old', stacklevel=1)\nraise KeyError('nobody expected this')")
    assert "old" in warning["message"]
    assert end["level"] == "CRITICAL"
    assert "nobody expected this" in end["exception"]


def test_a_level_that_is_not_asked_for_is_not_written() -> None:
    """The settings' level holds."""
    assert said("log.debug('a')") == []


def test_anything_may_stand_in_a_line() -> None:
    """What JSON does not know is written as text; other alphabets as they are."""
    place = Place("t", 1, 2)
    (line,) = objects(
        "from shadowlane.errors import Place\nlog.info('\\u00e4', extra={'offset': Place('t', 1, 2)})"
    )
    assert (line["message"], line["offset"]) == ("ä", str(place))


def test_people_get_text() -> None:
    """As ever."""
    (line,) = said("log.info('it runs')", "text")
    assert line.endswith("INFO shadowlane.test: it runs")
