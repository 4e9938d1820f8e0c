"""Models of each kind in a process of their own answer as they do in this one."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from model_support import asked, batch_of, predictions, same
from shadowlane.replay_worker import Isolation, ModelSource, load_model
from shadowlane.replay_worker.isolation import open_host

FRAME = pd.DataFrame({"country": ["DE", "AT", "CH", "DE"] * 5, "age": np.linspace(0, 9, 20)})
ROWS: list[dict[str, Any]] = [*FRAME.to_dict("records"), {"age": 3.0, "country": None}]


def sklearn_model(folder: Path) -> ModelSource:
    """A pipeline that looks at its columns by name."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["country"]), (StandardScaler(), ["age"])
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(FRAME, FRAME["age"] > 4)
    skops.io.dump(pipeline, folder / "model.skops")
    return ModelSource(f"sklearn:{folder / 'model.skops'}", trusted=("numpy.dtype",))


def onnx_model(folder: Path) -> ModelSource:
    """A graph of one matrix."""
    x = FRAME[["age"]].to_numpy(np.float32)
    graph = to_onnx(LogisticRegression().fit(x, FRAME["age"] > 4), x[:1])
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return ModelSource(f"onnx:{folder / 'model.onnx'}", ("age",))


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", [sklearn_model, onnx_model])
def test_a_models_process_gives_the_models_answers(tmp_path: Path, kind: Any, batch: bool) -> None:
    """What is loaded there, and how it is asked, is what is loaded and asked here."""
    source, features = kind(tmp_path), batch_of(ROWS)
    expected = asked(load_model(source), features, 1e-5)
    assert len({each.label for each in expected}) == 2
    host = open_host(source, Isolation(), batch=batch, wait=sleep)
    try:
        answered = host.run(features, lambda: False)
    finally:
        host.close()
    assert (answered.done, list(answered.failures)) == (len(ROWS), [])
    same(predictions(answered.answers.column("prediction")), expected, 1e-5)
