"""Requests that became errors, sent through again under the same identity once what was wrong is mended."""

from shadowlane.replay_worker.redrive._failures import Selection
from shadowlane.replay_worker.redrive._redrive import Origin, Redriven, redrive

__all__ = ["Origin", "Redriven", "Selection", "redrive"]
