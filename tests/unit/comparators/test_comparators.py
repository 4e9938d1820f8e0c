"""Comparators: which rule decides, what each says, and what it does with rules that are none."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from shadowlane.comparators import Comparator, Outcome
from shadowlane.comparators.columns import compare_columns
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction
from unit.comparators import pairs

OWN = "python:unit.comparators.own_rules"
widths = st.integers(1, 6)


def vectors_of(width: int) -> st.SearchStrategy[list[float]]:
    """Plain vectors."""
    return st.lists(st.floats(-100, 100).map(lambda each: round(each, 3)), min_size=width, max_size=width)


two_vectors = widths.flatmap(lambda width: st.tuples(vectors_of(width), vectors_of(width)))


@pytest.mark.parametrize(
    ("primary", "shadow", "agreement", "difference", "comparator"),
    [
        (Prediction(score=0.5), Prediction(score=0.54), True, 0.04, "score:0.05"),
        (Prediction(score=0.5), Prediction(score=0.6), False, 0.1, "score:0.05"),
        (Prediction(score=math.nan), Prediction(score=math.nan), False, None, "score:0.05"),
        (Prediction(score=math.inf), Prediction(score=math.inf), True, None, "score:0.05"),
        (Prediction(label="a", score=0.9), Prediction(label="a", score=0.6), True, -0.3, "label"),
        (Prediction(label="1"), Prediction(score=1.0), False, None, "mixed"),
        (Prediction(vector=[1, 2]), Prediction(vector=[1, 2.5]), False, 0.5, "vector:0.05"),
        (Prediction(vector=[1]), Prediction(vector=[1, 2]), False, None, "vector:0.05"),
        (Prediction(ranking=["x", "y"]), Prediction(ranking=["y", "x"]), False, None, "ranking"),
    ],
)
def test_auto_compares_what_both_models_gave(
    primary: Prediction, shadow: Prediction, agreement: bool, difference: float | None, comparator: str
) -> None:
    """The default rule takes labels before scores, and says which rule it took."""
    outcome = Comparator().compare(primary, shadow)
    assert outcome.agreement is agreement
    assert outcome.comparator == comparator
    assert outcome.difference == (difference if difference is None else pytest.approx(difference))


def test_rules_decide_alone_and_in_their_order() -> None:
    """What is given is all that is compared; `auto` beside it brings the others back."""
    both = Prediction(label="a", score=0.9), Prediction(label="b", score=0.9)
    labels = Prediction(label="a"), Prediction(label="a")
    scores_only, scores_first = Comparator.parse("score:0"), Comparator.of(["score:0", "label"])
    with_auto = Comparator.of(["score:0", "auto"])
    assert [each.compare(*both).comparator for each in (scores_only, scores_first, with_auto)] == [
        "score:0",
        "score:0",
        "label",
    ]
    assert [each.compare(*labels) for each in (scores_only, scores_first)] == [
        (False, None, "score:0"),
        (True, None, "label"),
    ]
    assert with_auto.compare(Prediction(score=1.0), Prediction(score=1.0)).comparator == "score:0"


@given(rule=pairs.rules)
def test_a_rules_name_reads_as_the_rule(rule: Comparator) -> None:
    """What a comparison records is enough to judge again by the same rule."""
    assert Comparator.of([each.name for each in rule.rules]).rules == rule.rules


@given(rule=pairs.rules)
def test_rules_travel_between_processes(rule: Comparator) -> None:
    """A fleet's workers get them pickled."""
    assert pickle.loads(pickle.dumps(rule)) == rule


@given(pair=two_vectors)
def test_distances_are_scipys(pair: tuple[list[float], list[float]]) -> None:
    """Largest, Euclidean and cosine, but for the last digits."""
    primary, shadow = (Prediction(vector=vector) for vector in pair)
    for rule, oracle in (("vector:1", distance.chebyshev), ("vector:euclidean=1", distance.euclidean)):
        found = Comparator.parse(rule).compare(primary, shadow).difference
        assert found == pytest.approx(oracle(*pair), rel=1e-9, abs=1e-9)
    if any(pair[0]) and any(pair[1]):
        found = Comparator.parse("vector:cosine=0").compare(primary, shadow).difference
        assert found == pytest.approx(distance.cosine(*pair), abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), width=widths)
def test_distances_of_distributions_are_their_formulas(seed: int, width: int) -> None:
    """Total variation and Hellinger, by NumPy."""
    p, s = np.random.default_rng(seed).dirichlet(np.ones(width), 2)
    primary, shadow = Prediction(vector=p.tolist()), Prediction(vector=s.tolist())
    found = Comparator.parse("vector:total_variation=1").compare(primary, shadow).difference
    assert found == pytest.approx(np.abs(p - s).sum() / 2)
    found = Comparator.parse("vector:hellinger=1").compare(primary, shadow).difference
    assert found == pytest.approx(np.linalg.norm(np.sqrt(p) - np.sqrt(s)) / math.sqrt(2), abs=1e-9)


@given(order=st.permutations("abcdefg"), size=st.integers(2, 7))
def test_rank_correlation_is_scipys(order: list[str], size: int) -> None:
    """Over the items in common, wherever others stand between them."""
    primary = list("abcdefg")[:size]
    outcome = Comparator.parse("ranking:spearman=0").compare(
        Prediction(ranking=primary), Prediction(ranking=order)
    )
    places = [[each for each in order if each in primary].index(item) for item in primary]
    expected = stats.spearmanr(range(size), places).statistic
    assert outcome.difference == pytest.approx(1 - expected)
    assert outcome.agreement == (1 - (outcome.difference or 0) >= 0)


def test_a_relative_tolerance_is_math_iscloses() -> None:
    """Both tolerances at once: the larger of the two counts."""
    rule = Comparator.parse("score:abs=0.01,rel=0.1")
    for primary, shadow in [(0.0, 0.01), (0.0, 0.011), (100.0, 110.0), (110.0, 100.0), (100.0, 112.0)]:
        outcome = rule.compare(Prediction(score=primary), Prediction(score=shadow))
        assert outcome.agreement == math.isclose(primary, shadow, rel_tol=0.1, abs_tol=0.01)


def test_an_ignored_pair_is_no_agreement() -> None:
    """Whatever both said: the label of either, or the request's segment, takes it out."""
    rule = Comparator.of(["auto"], ["label=unknown", "segment.country=XX"])
    same, unknown = Prediction(label="a"), Prediction(label="unknown")
    assert rule.compare(same, unknown) == (False, None, "ignored:label=unknown")
    assert rule.compare(unknown, unknown) == (False, None, "ignored:label=unknown")
    assert rule.compare(same, same, {"country": "XX"}) == (False, None, "ignored:segment.country=XX")
    assert rule.compare(same, same, {"country": "DE"}).agreement
    assert rule.compare(same, same).agreement


def test_a_rule_of_ones_own_may_compute_with_numpy() -> None:
    """NumPy's truths and numbers are Python's in the event; an infinite difference is none."""
    outcome = Comparator.parse(f"{OWN}:with_numpy").compare(Prediction(score=1.0), Prediction(score=1.0))
    assert type(outcome.agreement) is bool
    assert outcome == Outcome(True, None, f"{OWN}:with_numpy")


def test_a_rule_of_ones_own_for_one_part() -> None:
    """It stands beside others, and decides where both have its part."""
    rule = Comparator.of(["auto", f"label:{OWN}:even"])
    assert rule.compare(Prediction(label="ab"), Prediction(label="")) == (True, 2.0, f"label:{OWN}:even")
    assert rule.compare(Prediction(score=1.0), Prediction(score=1.0)).comparator == "score:0.05"


def test_a_rule_of_ones_own_that_does_not_decide_raises() -> None:
    """The worker makes the request an error of stage `compare`; no value is in the error's text."""
    rule = Comparator.parse(f"{OWN}:undecided")
    one = Prediction(label="secret")
    with pytest.raises(TypeError, match="must answer with True or False") as raised:
        rule.compare(one, one)
    assert "secret" not in str(raised.value)
    with pytest.raises(TypeError, match="must answer with True or False"):
        compare_columns(rule, pairs.column([one]), pairs.column([one]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "use one of auto, label"),
        ("exact", "use one of auto, label"),
        ("label:0.1", "a label rule takes exact"),
        ("label:case,upper", "'upper'"),
        ("label:", "nothing stands behind the colon"),
        ("score:", "nothing stands behind the colon"),
        ("score:-1", "the tolerance must be a number from 0 up, not '-1'"),
        ("score:nan", "the tolerance must be a number"),
        ("score:inf", "the tolerance must be a number"),
        ("score:x", "the tolerance must be a number"),
        ("score:abs=x", "abs must be a number"),
        ("vector:x", "the tolerance must be a number"),
        ("score:rel=2", "rel must be a number from 0 to 1"),
        ("score:0.1,rel=0.1", "'0.1': say what it is"),
        ("score:abs=1,abs=2", "'abs=2'"),
        ("vector:cosine=2", "cosine must be a number from -1 to 1"),
        ("vector:cosine=0.9,euclidean=1", "one measure"),
        ("vector:jensen_shannon=0.1", "one of largest, euclidean, cosine, total_variation, hellinger"),
        ("ranking:0.5", "any of top, overlap, spearman"),
        ("ranking:top=0", "top must be a whole number from 1"),
        ("ranking:top=2.5", "top must be a whole number from 1"),
        ("ranking:overlap=80", "overlap must be a number from 0 to 1"),
        ("text:", "text must be a number from 0 to 1"),
        ("auto:x", "the tolerance must be a number"),
        ("python:nowhere", "write python:package.module:attribute"),
        ("python:nowhere.at_all:rule", "cannot be imported: ModuleNotFoundError"),
        (f"{OWN}:nothing", "cannot be imported: AttributeError"),
        (f"{OWN}:NOT_A_FUNCTION", "NOT_A_FUNCTION is a int, not a function"),
    ],
)
def test_a_rule_that_is_none_is_refused(text: str, said: str) -> None:
    """A wrong rule is an error that repeats it, and says what is right."""
    with pytest.raises(SettingsError) as raised:
        Comparator.parse(text)
    assert str(raised.value).startswith(f"comparator {text!r}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("texts", "ignore", "said"),
    [
        (["score:1", "auto", "score"], [], "comparator 'score': there is a rule for scores already"),
        (["label", "text:0.9"], [], "comparator 'text:0.9': there is a rule for labels already"),
        (["score", f"{OWN}:even"], [], "a python: rule for all predictions stands alone"),
        ([f"{OWN}:even", "score"], [], "a python: rule for all predictions stands alone"),
        (["auto"], ["unknown"], "ignore 'unknown': write label=VALUE or segment.NAME=VALUE"),
        (["auto"], ["score=1"], "ignore 'score=1'"),
        (["auto"], ["segment.=1"], "ignore 'segment.=1'"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(texts: list[str], ignore: list[str], said: str) -> None:
    """Two rules for one part, or what cannot be ignored."""
    with pytest.raises(SettingsError) as raised:
        Comparator.of(texts, ignore)
    assert said in str(raised.value)


def test_texts_without_their_package_name_the_extra() -> None:
    """The error comes with the rule, not with the first request."""
    code = """
import sys
sys.modules["rapidfuzz"] = None
from shadowlane.comparators import Comparator
from shadowlane.errors import MissingExtraError
try:
    Comparator.parse("text:0.9")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == "the text comparator needs an extra: pip install 'shadowlane[text]'"
