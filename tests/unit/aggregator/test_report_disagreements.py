from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from shadowlane.aggregator import Scope
from shadowlane.aggregator.report._disagreements import disagreement_figures
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report.figures import DisagreementFigures
from shadowlane.lake import COMPARISONS, ERRORS, LEDGER, read_lake
from unit.aggregator.report_lake import Row, comparison, land

SCOPE = Scope("ranker", "challenger")


def figures(lake: Path, *rows: Row, with_rules: bool = False) -> DisagreementFigures:
    """The disagreements of these comparisons."""
    land(lake, rows)

    def read(opened: object) -> DisagreementFigures:
        load(opened, SCOPE)  # type: ignore[arg-type]
        return disagreement_figures(opened, with_rules=with_rules)  # type: ignore[arg-type]

    return read_lake(lake, SCOPE, (COMPARISONS, ERRORS, LEDGER), read)


def test_differences_are_the_shadows_less_the_primarys(tmp_path: Path) -> None:
    """Means over all pairs and over disagreements, and the interval, as NumPy and scipy have them."""
    rng = np.random.default_rng(0)
    primary, shadow = rng.random(300), rng.random(300)
    is_apart = np.abs(shadow - primary) > 0.1
    found = figures(
        tmp_path,
        *(
            comparison(n, primary_score=primary[n], shadow_score=shadow[n], agreement=not is_apart[n])
            for n in range(300)
        ),
    )
    apart = shadow - primary
    assert (found.rate.part, found.rate.whole) == (is_apart.sum(), 300)
    assert found.mean_difference == pytest.approx(apart.mean(), rel=1e-12)
    assert found.mean_absolute_difference == pytest.approx(np.abs(apart).mean(), rel=1e-12)
    assert found.mean_difference_of_disagreements == pytest.approx(apart[is_apart].mean(), rel=1e-12)
    assert (found.shadow_higher.part, found.shadow_higher.whole) == (
        (apart[is_apart] > 0).sum(),
        is_apart.sum(),
    )
    expected = stats.ttest_1samp(apart, 0).confidence_interval(0.95)
    assert found.mean_difference_interval is not None
    assert [found.mean_difference_interval.low, found.mean_difference_interval.high] == pytest.approx(
        [expected.low, expected.high], rel=1e-9
    )
    assert found.rules is None


def test_what_is_no_number_is_in_no_mean(tmp_path: Path) -> None:
    """NaN, infinities, nulls and differences too large to square; ignored pairs are in no rate."""
    odd = [(np.nan, 1.0), (np.inf, np.inf), (1.0, np.inf), (None, 0.5), (0.5, None), (-1e308, 1e308)]
    found = figures(
        tmp_path,
        *(
            comparison(n, primary_score=first, shadow_score=second, agreement=False)
            for n, (first, second) in enumerate(odd)
        ),
        comparison(10, primary_score=0.25, shadow_score=0.5, agreement=False),
        comparison(11, primary_score=0.5, shadow_score=0.5, agreement=False),
        comparison(12, primary_score=0.5, shadow_score=1.5, agreement=False, comparator="ignored:label=x"),
    )
    assert (found.rate.part, found.rate.whole) == (8, 8)
    assert (found.shadow_higher.part, found.shadow_higher.whole) == (1, 1)
    assert found.mean_difference == pytest.approx((0.25 + 0 + 1) / 3)
    assert found.mean_difference_of_disagreements == pytest.approx(0.125)


def test_of_nothing_there_are_no_figures(tmp_path: Path) -> None:
    """No comparison of this shadow, and no score at all."""
    empty = figures(tmp_path / "a", comparison(1, shadow="another"), with_rules=True)
    assert (empty.rate.value, empty.shadow_higher.value, empty.mean_difference) == (None, None, None)
    assert empty.rules is not None
    assert empty.rules.rules == ()
    labels = figures(
        tmp_path / "b",
        comparison(
            1, primary_score=None, shadow_score=None, primary_label="a", shadow_label="b", agreement=False
        ),
    )
    assert (labels.rate.part, labels.shadow_higher.whole, labels.mean_difference) == (1, 0, None)
    assert labels.mean_difference_interval is None


def test_one_pair_has_a_mean_and_no_interval(tmp_path: Path) -> None:
    """One value says nothing of how far others lie."""
    found = figures(tmp_path, comparison(1, primary_score=0.5, shadow_score=0.75))
    assert (found.mean_difference, found.mean_difference_interval) == (0.25, None)


def test_the_rules_are_those_of_the_disagreements(tmp_path: Path) -> None:
    """They come with the figures where they are asked for."""
    rows = [
        comparison(n, segments=[("country", "BR" if n % 5 == 0 else "DE")], agreement=n % 5 > 0)
        for n in range(100)
    ]
    found = figures(tmp_path, *rows, with_rules=True)
    assert found.rules is not None
    assert [rule.text for rule in found.rules.rules] == ["country = BR"]
