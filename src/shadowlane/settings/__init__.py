"""Settings, from arguments, then the environment (`SHADOWLANE_*`), then `shadowlane.toml`.

The first of the three that says something wins, key by key.
"""

from shadowlane.settings._comparators import ComparatorSettings
from shadowlane.settings._kafka import KafkaSettings, Sasl, Tls
from shadowlane.settings._lake import Location
from shadowlane.settings._redaction import RedactionRule, RedactionSettings
from shadowlane.settings._secret import Secret
from shadowlane.settings._settings import Settings

__all__ = [
    "ComparatorSettings",
    "KafkaSettings",
    "Location",
    "RedactionRule",
    "RedactionSettings",
    "Sasl",
    "Secret",
    "Settings",
    "Tls",
]
