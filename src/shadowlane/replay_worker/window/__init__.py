"""Replay the requests of a window of time: bounded, resumable, paced, and apart from live work."""

from shadowlane.replay_worker.window._estimate import Estimate, Sample, estimate_replay
from shadowlane.replay_worker.window._how import How
from shadowlane.replay_worker.window._progress import Progress, span
from shadowlane.replay_worker.window._record import Counts, Record
from shadowlane.replay_worker.window._run import run_replay
from shadowlane.replay_worker.window._speed import Speed
from shadowlane.replay_worker.window._summary import Summary
from shadowlane.replay_worker.window._times import Window, parse_duration, written

__all__ = [
    "Counts",
    "Estimate",
    "How",
    "Progress",
    "Record",
    "Sample",
    "Speed",
    "Summary",
    "Window",
    "estimate_replay",
    "parse_duration",
    "run_replay",
    "span",
    "written",
]
