"""Makes plans for the tests, from a few values."""

from __future__ import annotations

from typing import Any

from shadowlane.aggregator.planning import Inputs, Plan, Segment, make_plan

ITALY = Segment("country=IT", 0.012)
GERMANY = Segment("country=DE", 0.4)


def inputs(**values: Any) -> Inputs:
    """Inputs with these values, of ten requests a second where nothing else is said."""
    return Inputs.of({"requests_per_second": 10.0} | values)


def planned(**values: Any) -> Plan:
    """The plan with these values."""
    return make_plan(inputs(**values))
