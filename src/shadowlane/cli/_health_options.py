"""Options about what the outside may ask a long-running command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from shadowlane.health import Health

_PANEL = "Seen from outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOptions:
    """Where a worker, a fleet or an aggregator answers over HTTP."""

    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Answer /livez, /readyz and /metrics at this port (0: a free one, which the log names).",
            envvar="SHADOWLANE_HEALTH_PORT",
            rich_help_panel=_PANEL,
        ),
    ] = None
    health_host: Annotated[
        str,
        typer.Option(
            help="At this address; 0.0.0.0 in a container, for probes from outside.",
            envvar="SHADOWLANE_HEALTH_HOST",
            rich_help_panel=_PANEL,
        ),
    ] = "127.0.0.1"

    def value(self) -> Health | None:
        """Where; None: nowhere."""
        return None if self.health_port is None else Health(self.health_port, self.health_host)
