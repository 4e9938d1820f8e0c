"""The replay worker: run the shadow on each request, compare, and send on what came of it.

The loop is in `_worker.py`, top to bottom.
"""

from shadowlane.errors import MissingExtraError, TransientError

try:
    from shadowlane.health import Health
    from shadowlane.replay_worker._features import FeatureBatch, RequestContext
    from shadowlane.replay_worker._fleet import run_fleet, run_one
    from shadowlane.replay_worker._plan import (
        Control,
        ErrorCeiling,
        Isolation,
        KeepFeatures,
        ModelSource,
        Target,
        WorkerPlan,
    )
    from shadowlane.replay_worker._tally import Tally
    from shadowlane.replay_worker._worker import run_worker
    from shadowlane.replay_worker.models import Model, load_model
    from shadowlane.replay_worker.models._fetch import Fetch
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in ("numpy", "pyarrow", "pyruhvro"):
        raise MissingExtraError("worker", "The replay worker") from error
    raise

__all__ = [
    "Control",
    "ErrorCeiling",
    "FeatureBatch",
    "Fetch",
    "Health",
    "Isolation",
    "KeepFeatures",
    "Model",
    "ModelSource",
    "RequestContext",
    "Tally",
    "Target",
    "TransientError",
    "WorkerPlan",
    "load_model",
    "run_fleet",
    "run_one",
    "run_worker",
]
