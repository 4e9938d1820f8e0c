"""Shadow models by URI: what is refused before any kind of model is looked at, and with which words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import SCHEMES
from shadowlane.replay_worker.models._extras import imported


@pytest.mark.parametrize("uri", ["fraud.joblib", "", ":", "pickle:model.pkl"])
def test_a_uri_of_no_kind_lists_the_kinds(uri: str) -> None:
    """Whoever mistypes a URI reads how each kind looks."""
    with pytest.raises(ModelError) as caught:
        load_model(ModelSource(uri))
    assert all(form in str(caught.value) for _, form in SCHEMES.values())


@pytest.mark.parametrize("scheme", ["sklearn", "onnx"])
def test_a_file_that_is_not_there_is_named(scheme: str) -> None:
    """The message has the path and the system's reason."""
    with pytest.raises(ModelError, match=r"'absent\.bin' cannot be read: No such file"):
        load_model(ModelSource(f"{scheme}:absent.bin"))


def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError) as caught:
        load_model(ModelSource("onnx:model.onnx"))
    assert str(caught.value) == (
        "the model needs onnxruntime, which is not installed: pip install 'shadowlane[onnx]'"
    )


def test_a_package_that_lacks_another_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To install what is there already would help nobody."""
    (tmp_path / "half_installed.py").write_text("import its_own_dependency")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="its_own_dependency"):
        imported("half_installed", "onnx")
