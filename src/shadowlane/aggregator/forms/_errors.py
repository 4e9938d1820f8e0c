"""Groups of errors as JSON, and as tables on a terminal; no text of theirs can act there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby

from shadowlane.aggregator._error_groups import ErrorGroup
from shadowlane.visible import visible


def errors_to_json(groups: Sequence[ErrorGroup]) -> str:
    """One object, named by `schema`; times are ISO 8601 in UTC."""
    rows = [
        asdict(each)
        | {
            "first_seen": each.first_seen.isoformat(),
            "last_seen": each.last_seen.isoformat(),
            "example": asdict(each.example),
        }
        for each in groups
    ]
    return json.dumps({"schema": "shadowlane.errors/1", "errors": rows}, indent=2, ensure_ascii=False)


def by_run(groups: Sequence[ErrorGroup]) -> Iterable[tuple[str, list[ErrorGroup]]]:
    """The groups of each shadow and run, under what it is called on a screen."""
    for (model, shadow, run), each in groupby(groups, lambda group: (group.model, group.shadow, group.run)):
        names = (visible(name, 128) for name in (model or "(model unknown)", shadow, run))
        yield "{}  →  {}   run {}".format(*names), list(each)
