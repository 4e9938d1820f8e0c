"""Models that a process of its own loads by name."""

from __future__ import annotations

from collections.abc import Mapping

from shadowlane.replay_worker.models._call_errors import UnavailableError


class Away:
    """It asks a server that is away for half of all numbers."""

    def predict_one(self, features: Mapping[str, float]) -> float:
        """While it is there."""
        if features["n"] >= 3:
            raise UnavailableError("nobody there")
        return features["n"] / 2
