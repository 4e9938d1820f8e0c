"""The examples of docs/models.md do what they say."""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from model_support import batch_of, predictions
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model

_DOCS = Path(__file__).parents[3] / "docs" / "models.md"
_PYTHON, _SHELL = (
    re.compile(rf"^```{kind}\n(.*?)^```$", re.DOTALL | re.MULTILINE) for kind in ("python", "sh")
)
_FEATURES: list[dict[str, Any]] = [{"age": 50.5, "visits": 2, "country": "DE"}]


def source_of(line: str) -> ModelSource:
    """The model that a line of the docs loads."""
    words = shlex.split(line)
    options = dict(pairwise(words))
    return ModelSource(
        options["--load"],
        tuple(filter(None, options.get("--features", "").split(","))),
        allow_pickle="--allow-pickle" in options,
        sha256=options.get("--sha256"),
    )


def answer_of(source: ModelSource) -> str:
    """Which parts a model's prediction has; a sum that the docs leave open is taken from the message."""
    try:
        model = load_model(source)
    except ModelError as refused:
        (digest,) = re.findall("has the sha256 (\\w+),", str(refused))
        model = load_model(ModelSource(source.uri, source.features, allow_pickle=True, sha256=digest))
    inputs = model.prepare(batch_of(_FEATURES))
    (found,) = predictions(model.read_each([model.one(*model.single(inputs, 0))]))
    return " ".join(name for name in ("label", "score") if getattr(found, name) is not None)


@pytest.mark.filterwarnings("ignore:::mlflow")
def test_each_example_loads_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are run in their order; then each command's model is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    text, names = _DOCS.read_text(), dict[str, Any]()
    for block in _PYTHON.findall(text):
        if block.startswith("# models.py"):
            Path("models.py").write_text(block)
            continue
        with warnings.catch_warnings():  # MLflow and its packages have much to say
            warnings.simplefilter("ignore")
            exec(compile(block, "docs/models.md", "exec"), names)  # noqa: S102 - our own docs
    lines = [line for block in _SHELL.findall(text) for line in block.splitlines()]
    monkeypatch.delitem(sys.modules, "models", raising=False)
    assert [answer_of(source_of(line)) for line in lines] == [
        "score",
        "label score",
        "label score",
        "label score",
        "label",
    ]
