"""Requests from the lake's archive: the messages that Kafka no longer holds, made of their rows again."""

from shadowlane.replay_worker._message import ArchivedMessage
from shadowlane.replay_worker.archive._archive import Archive, Covered
from shadowlane.replay_worker.archive._pieces import Choice, Found, Spans

__all__ = ["Archive", "ArchivedMessage", "Choice", "Covered", "Found", "Spans"]
