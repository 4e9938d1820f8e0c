"""The demo: a serving process with two real models, and the whole pipeline around it on this machine."""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.demo._run import Follow, Interrupted, Shown, run_demo
    from shadowlane.demo.models import MODEL, SHADOW
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in ("sklearn", "numpy"):
        raise MissingExtraError("all", "The demo") from error
    raise

__all__ = ["MODEL", "SHADOW", "Follow", "Interrupted", "Shown", "run_demo"]
