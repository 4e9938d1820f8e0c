"""All settings of one process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from shadowlane.settings._kafka import KafkaSettings
from shadowlane.settings._sources import Document, Sources, check_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_LAKE = "./lake"
TOP_LEVEL = ("lake", "kafka", "hook", "comparators")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Kafka and the lake are."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    lake: str = DEFAULT_LAKE

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
        return cls(
            kafka=KafkaSettings.from_document(document, env, kafka),
            lake=sources.path("lake") or DEFAULT_LAKE,
        )
