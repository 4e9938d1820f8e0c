"""Where the shadow lives: in a child process by default, which it may crash without harm to the replay."""

from shadowlane.replay_worker.isolation._host import ModelHost, open_host

__all__ = ["ModelHost", "open_host"]
