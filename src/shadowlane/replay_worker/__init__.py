"""The replay worker: run the shadow on each request, compare, and send on what came of it.

The loop is in `_worker.py`, top to bottom.
"""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.replay_worker._features import FeatureBatch
    from shadowlane.replay_worker._fleet import run_fleet, run_one
    from shadowlane.replay_worker._models import Model, load_model
    from shadowlane.replay_worker._plan import ErrorCeiling, KeepFeatures, ModelSource, Target, WorkerPlan
    from shadowlane.replay_worker._worker import Progress, run_worker
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in ("numpy", "pyarrow", "pyruhvro"):
        raise MissingExtraError("worker", "The replay worker") from error
    raise

__all__ = [
    "ErrorCeiling",
    "FeatureBatch",
    "KeepFeatures",
    "Model",
    "ModelSource",
    "Progress",
    "Target",
    "WorkerPlan",
    "load_model",
    "run_fleet",
    "run_one",
    "run_worker",
]
