"""Which kinds of model there are; what a kind needs is imported when it is asked for."""

from __future__ import annotations

import importlib

from shadowlane.errors import ModelError
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._protocol import LoadedModel

#: By scheme: the module whose `load(source)` makes a `LoadedModel`, and how such a URI looks.
SCHEMES: dict[str, tuple[str, str]] = {
    "python": ("_python", "python:package.module:attribute"),
    "sklearn": ("_sklearn", "sklearn:path/to/model.skops"),
    "onnx": ("_onnx", "onnx:path/to/model.onnx"),
    "mlflow": ("_mlflow", "mlflow:path/or/models:/NAME/VERSION"),
    "http": ("_http", "http://host:port/v2/models/NAME"),
    "https": ("_http", "https://host:port/v2/models/NAME"),
}


def load_model(source: ModelSource) -> LoadedModel:
    """Load the model that a URI names.

    Raises:
        ModelError: it cannot be loaded; the message says what to do.
    """
    scheme, colon, _ = source.uri.partition(":")
    module, _ = SCHEMES.get(scheme if colon else "", ("", ""))
    if not module:
        known = ", ".join(form for _, form in SCHEMES.values())
        raise ModelError(f"model {source.uri!r}: write it as one of {known}")
    try:
        loaded: LoadedModel = importlib.import_module(f"{__package__}.{module}").load(source)
    except ModelError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: SystemExit and native panics too
        raise ModelError(f"model {source.uri!r} failed to load: {type(error).__name__}: {error}") from error
    return loaded
