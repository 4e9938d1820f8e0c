"""A plan as JSON: `shadowlane.plan/1`, described in docs/plan.md.

It holds what `Plan` holds, under the same names, without `inputs`: these are its `assumptions`, each with
where it comes from. `formulas` says how each figure is made, by its place. Shares and rates are from 0 to 1,
money is in the currency of the prices. A figure that nobody can know is null. New fields may be added under
the same name of the schema; one that changes its meaning gets the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from shadowlane import __version__
from shadowlane.aggregator.planning._basis import FORMULAS, assumptions
from shadowlane.aggregator.planning._figures import Plan
from shadowlane.aggregator.planning._says import sentences, summary

_DIGITS = 12


def plan_to_json(plan: Plan) -> str:
    """The plan as JSON text, the same text for the same plan."""
    document = {
        "schema": "shadowlane.plan/1",
        "software_version": __version__,
        "summary": summary(plan),
        **{each.name: _plain(getattr(plan, each.name)) for each in fields(plan) if each.name != "inputs"},
        "sentences": [*sentences(plan)],
        "assumptions": [_plain(asdict(each)) for each in assumptions(plan)],
        "formulas": dict(FORMULAS),
    }
    # In ASCII, so that no value can act on a terminal; NaN would raise here rather than be written.
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
