"""The options that say how a worker shares the work with others: where it starts, how it leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.errors import SettingsError

if TYPE_CHECKING:
    from shadowlane.replay_worker import WorkerPlan

_SHARING = "Sharing the work"


class GroupProtocol(StrEnum):
    """How the workers of a group agree on who reads which partitions."""

    classic = "classic"
    consumer = "consumer"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """A worker's membership in the group that shares the live work."""

    from_beginning: Annotated[
        bool,
        typer.Option(
            "--from-beginning",
            help="Where no offsets are committed, start with the oldest request (the default).",
            rich_help_panel=_SHARING,
        ),
    ] = False
    latest: Annotated[
        bool,
        typer.Option(
            "--latest",
            help="Where no offsets are committed, start with new requests only.",
            rich_help_panel=_SHARING,
        ),
    ] = False
    group_protocol: Annotated[
        GroupProtocol,
        typer.Option(
            help="How workers share partitions: classic, or consumer (KIP-848; Kafka 4.0 or newer).",
            rich_help_panel=_SHARING,
        ),
    ] = GroupProtocol.classic
    grace_seconds: Annotated[
        float,
        typer.Option(
            min=0, help="After SIGTERM, finish what is under way within this time.", rich_help_panel=_SHARING
        ),
    ] = 25.0

    def applied_to(self, plan: WorkerPlan) -> WorkerPlan:
        """The plan with these choices."""
        if self.from_beginning and self.latest:
            raise SettingsError("--from-beginning and --latest exclude each other; leave one out")
        return replace(
            plan,
            start="latest" if self.latest else "earliest",
            group_protocol=self.group_protocol.value,
            grace_seconds=self.grace_seconds,
        )
