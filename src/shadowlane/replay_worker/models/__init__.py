"""Shadow models of many kinds, each loaded by its URI."""

from shadowlane.replay_worker.models._load import SCHEMES, load_model
from shadowlane.replay_worker.models._protocol import LoadedModel, Model

__all__ = ["SCHEMES", "LoadedModel", "Model", "load_model"]
