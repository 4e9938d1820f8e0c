"""The options that say where a model lives, what it may take there, and what it may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.errors import SettingsError

if TYPE_CHECKING:
    from shadowlane.replay_worker import Isolation

_PANEL = "Where the model lives, and what it may take"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)
_POWERS = "KMGT"


class Home(StrEnum):
    """Where the model lives."""

    process = "process"
    none = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationOptions:
    """A process of its own, with limits."""

    isolation: Annotated[
        Home,
        typer.Option(
            help="A process of the model's own; or none: in the worker's, which it may then crash.",
            rich_help_panel=_PANEL,
        ),
    ] = Home.process
    call_seconds: Annotated[
        float,
        typer.Option(help="One call of the model may take this long.", rich_help_panel=_PANEL),
    ] = 30.0
    load_seconds: Annotated[
        float, typer.Option(help="Loading the model may take this long.", rich_help_panel=_PANEL)
    ] = 300.0
    memory_limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory that the model's process may take, e.g. 2GiB.",
            show_default="no limit",
            rich_help_panel=_PANEL,
        ),
    ] = None
    recycle_after: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="REQUESTS",
            help="Give the model a fresh process after so many requests.",
            show_default="never",
            rich_help_panel=_PANEL,
        ),
    ] = None
    recycle_growth: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Give it a fresh process when it has grown by so much, e.g. 500MiB.",
            show_default="never",
            rich_help_panel=_PANEL,
        ),
    ] = None
    deny_network: Annotated[
        bool,
        typer.Option("--deny-network", help="Refuse the model the network.", rich_help_panel=_PANEL),
    ] = False
    deny_writes: Annotated[
        bool,
        typer.Option(
            "--deny-writes",
            help="Refuse the model to write files, but for temporary ones of its own.",
            rich_help_panel=_PANEL,
        ),
    ] = False

    def value(self) -> Isolation:
        """Where the model lives, and its limits."""
        from shadowlane.replay_worker import Isolation  # noqa: PLC0415 - its packages come with an extra

        return Isolation(
            self.isolation.value,
            call_seconds=self.call_seconds,
            load_seconds=self.load_seconds,
            memory_bytes=_bytes("--memory-limit", self.memory_limit),
            recycle_requests=self.recycle_after,
            recycle_bytes=_bytes("--recycle-growth", self.recycle_growth),
            deny_network=self.deny_network,
            deny_writes=self.deny_writes,
        )


def parse_size(text: str) -> int:
    """Bytes in 2GiB (powers of 1024), 2GB (powers of 1000), 2G (as 2GiB: what people mean) or 4096.

    Raises:
        SettingsError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is no size: write it as 2GiB, 500MiB or 1.5GB")
    number, unit, binary = found.groups()
    is_decimal = unit is not None and not binary and text.strip()[-1] in "Bb"
    power = _POWERS.index(unit.upper()) + 1 if unit else 0
    return int(float(number) * (1000 if is_decimal else 1024) ** power)


def _bytes(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}") from None
