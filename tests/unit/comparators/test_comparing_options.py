"""The options of `shadowlane worker` and `replay` that say how predictions are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadowlane.cli._comparing_options import ComparingOptions, KeepFeatures
from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.replay_worker import ModelSource, Target, WorkerPlan


@pytest.fixture
def plan() -> WorkerPlan:
    """A plan for the model `fraud`."""
    return WorkerPlan(target=Target("fraud", "boosting"), source=ModelSource("python:models:predict"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with rules of all models and of this one."""
    path = tmp_path / "shadowlane.toml"
    path.write_text("[comparators]\nscore = 0.1\n[comparators.fraud]\nlabel = 'case'", encoding="utf-8")
    return path


def test_without_options_the_file_decides(plan: WorkerPlan, config: Path) -> None:
    """By the model that the plan is for."""
    found = ComparingOptions().applied_to(plan, config)
    assert [rule.name for rule in found.comparator.rules][:2] == ["label:case", "score:0.1"]
    assert found.keep_features == "disagreements"


def test_options_stand_over_the_file(plan: WorkerPlan, config: Path) -> None:
    """Rules, what is ignored and which features are kept."""
    options = ComparingOptions(
        comparator=["label", "score:rel=0.5"], ignore=["label=unknown"], keep_features=KeepFeatures.none
    )
    found = options.applied_to(plan, config)
    assert found.comparator == Comparator.of(["label", "score:rel=0.5"], ["label=unknown"])
    assert found.keep_features == "none"


def test_a_wrong_option_is_named(plan: WorkerPlan, config: Path) -> None:
    """Before anything is consumed."""
    with pytest.raises(SettingsError, match="comparator 'score:x': the tolerance must be a number"):
        ComparingOptions(comparator=["score:x"]).applied_to(plan, config)
