"""How a long-running command is seen from outside: alive, ready, and its figures for Prometheus."""

from shadowlane.health._pulse import Cell, Pulse
from shadowlane.health._server import Health, Look, View, answering

__all__ = ["Cell", "Health", "Look", "Pulse", "View", "answering"]
