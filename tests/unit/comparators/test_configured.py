"""A model's comparator from shadowlane.toml, under arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadowlane.comparators import Comparator, configured
from shadowlane.errors import SettingsError
from shadowlane.settings import Settings

OWN = "python:unit.comparators.own_rules:even"


def from_file(
    folder: Path, text: str, model: str = "fraud", *given: str, ignore: tuple[str, ...] = ()
) -> Comparator:
    """What a file with this text comes to."""
    path = folder / "shadowlane.toml"
    path.write_text(text, encoding="utf-8")
    return configured(model, given, ignore, config=path, env={})


def names(comparator: Comparator) -> list[str]:
    """The rules as written."""
    return [rule.name for rule in comparator.rules]


def test_no_file_is_auto() -> None:
    """The defaults, and what an argument says."""
    assert configured("fraud", env={}) == Comparator()
    assert configured("fraud", ["score:0.1"], env={}) == Comparator.parse("score:0.1")


def test_a_file_says_rules_by_part(tmp_path: Path) -> None:
    """They take the places of the defaults; a number is a tolerance."""
    text = '[comparators]\nscore = 0.1\nranking = "top=5"\nlabel = "exact"\nvector = 1'
    assert names(from_file(tmp_path, text)) == ["label", "score:0.1", "vector:1", "ranking:top=5"]


def test_a_models_table_stands_over_the_common_one(tmp_path: Path) -> None:
    """Key by key, and for that model only."""
    text = '[comparators]\nscore = 0.1\nignore = ["label=x"]\n'
    text += '[comparators.fraud]\nscore = "rel=0.5"\nparts = ["score", "label"]'
    fraud, other = from_file(tmp_path, text), from_file(tmp_path, text, "other")
    assert names(fraud) == ["score:rel=0.5", "label"]
    assert names(other) == ["label", "score:0.1", "vector:0.05", "ranking"]
    assert [each.name for each in fraud.ignored] == ["ignored:label=x"]


def test_a_model_may_be_called_like_a_part(tmp_path: Path) -> None:
    """A table under `score` is the model of that name."""
    text = "[comparators]\nlabel = 'case'\n[comparators.score]\nscore = 0.5"
    assert names(from_file(tmp_path, text, "score"))[:2] == ["label:case", "score:0.5"]
    assert names(from_file(tmp_path, text, "fraud"))[:2] == ["label:case", "score:0.05"]


def test_one_rule_for_all_predictions(tmp_path: Path) -> None:
    """A model's own word undoes the common rules, whichever of the two is the one for all."""
    text = f'[comparators]\nscore = 0.1\nparts = ["score"]\n[comparators.fraud]\nany = "{OWN}"'
    assert names(from_file(tmp_path, text)) == [OWN]
    text = f'[comparators]\nany = "{OWN}"\n[comparators.fraud]\nscore = 0.5'
    assert names(from_file(tmp_path, text))[1] == "score:0.5"
    assert names(from_file(tmp_path, text, "other")) == [OWN]
    assert names(from_file(tmp_path, text, "other", "auto", "score:0.2")) == ["score:0.2", OWN]


def test_arguments_stand_over_the_file(tmp_path: Path) -> None:
    """Rules that are given decide alone; with `auto` the file's stay beside them; ignored are both."""
    text = '[comparators]\nscore = 0.1\nlabel = "case"\nignore = ["label=x"]'
    assert names(from_file(tmp_path, text, "fraud", "score:0.2")) == ["score:0.2"]
    assert names(from_file(tmp_path, text, "fraud", "auto", "score:0.2"))[:2] == ["label:case", "score:0.2"]
    both = from_file(tmp_path, text, ignore=("segment.a=b",))
    assert [each.name for each in both.ignored] == ["ignored:label=x", "ignored:segment.a=b"]


def test_the_file_may_hold_more(tmp_path: Path) -> None:
    """Those who read other tables know that of the comparators."""
    path = tmp_path / "shadowlane.toml"
    path.write_text('lake = "here"\n[comparators]\nscore = 0.1', encoding="utf-8")
    assert Settings.load(config=path, env={}).lake.url.endswith("/here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comparators = 1", "comparators must be a table, written [comparators]"),
        ("[comparators]\nscores = 1", "[comparators]: scores is not a setting; did you mean score?"),
        ('[comparators]\nscore = "abs=x"', "[comparators] score: abs must be a number"),
        ("[comparators]\nscore = true", "[comparators] score: must be text in quotes or a number, not bool"),
        ('[comparators.fraud]\nscore = "x"', "[comparators.fraud] score: the tolerance must be a number"),
        ("[comparators.fraud]\nscor = 1", "[comparators.fraud]: scor is not a setting; did you mean score?"),
        ('[comparators]\nignore = "label=x"', "[comparators] ignore: must be a list of texts"),
        ('[comparators]\nignore = ["x"]', "[comparators] ignore: 'x': write label=VALUE"),
        ('[comparators]\nparts = ["text"]', "[comparators] parts: must name some of label, score"),
        ("[comparators]\nparts = []", "[comparators] parts: must name some of label, score"),
        ('[comparators]\nparts = ["score", "score"]', "[comparators] parts: must name some of"),
        ('[comparators]\nany = "python:nowhere.at_all:rule"', "[comparators] any: cannot be imported"),
        (f'[comparators]\nany = "{OWN}"\nscore = 1', "[comparators] any: it decides on all predictions"),
        ("[comparator]\nscore = 1", "comparator is not a setting; did you mean comparators?"),
    ],
)
def test_an_error_names_the_file_and_the_key(tmp_path: Path, text: str, said: str) -> None:
    """So that one knows where to look."""
    with pytest.raises(SettingsError) as raised:
        from_file(tmp_path, text)
    assert str(tmp_path / "shadowlane.toml") in str(raised.value)
    assert said in str(raised.value)
