"""All settings of one process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from shadowlane.settings._kafka import KafkaSettings
from shadowlane.settings._lake import DEFAULT_LAKE, Location
from shadowlane.settings._lake_options import TABLE as LAKE_OPTIONS
from shadowlane.settings._sources import Document, Sources, check_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOP_LEVEL = ("lake", LAKE_OPTIONS, "kafka", "hook", "comparators")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Kafka and the lake are."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    lake: Location = field(default_factory=lambda: Location.parse(DEFAULT_LAKE))

    @classmethod
    def load(
        cls,
        *,
        lake: str | Path | None = None,
        config: str | Path | None = None,
        env: Mapping[str, str] = os.environ,
        **kafka: Any,
    ) -> Self:
        """Read `shadowlane.toml` once, under the environment, under the arguments that are not None."""
        document = Document.read(config, env)
        check_names(document.data, TOP_LEVEL, str(document.path))
        sources = Sources({"lake": lake}, env, document.path, document.data)
        table = document.table(LAKE_OPTIONS)
        options = Sources({}, env, document.path, table, f"[{LAKE_OPTIONS}] ", "lake_")
        place = sources.path("lake")
        return cls(
            kafka=KafkaSettings.from_document(document, env, kafka),
            lake=Location.from_sources(DEFAULT_LAKE if place is None else place, options),
        )
