"""Corrections for how many were looked at, against statsmodels'."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from shadowlane.aggregator.statistics import benjamini_hochberg, holm

p_values = st.lists(st.one_of(st.sampled_from([0.0, 0.01, 1.0]), st.floats(0, 1)), min_size=1, max_size=60)


@settings(max_examples=15)  # statsmodels takes its time
@given(p_values)
def test_the_corrections_are_statsmodels(p: list[float]) -> None:
    """Holm's and Benjamini and Hochberg's adjusted p-values, in the order given, also with ties."""
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


@given(p_values)
def test_a_correction_never_makes_a_p_value_smaller(p: list[float]) -> None:
    """Nor larger than 1; and Holm's, which promises more, is the larger of the two."""
    strict, mild = holm(p), benjamini_hochberg(p)
    assert np.all(np.array(p) <= mild * (1 + 1e-12))
    assert np.all(mild <= strict * (1 + 1e-12))
    assert np.all(strict <= 1)


def test_nothing_to_correct_is_no_error() -> None:
    """A report without segments has no p-values."""
    assert holm([]).shape == benjamini_hochberg([]).shape == (0,)


def test_holm_keeps_false_alarms_rare() -> None:
    """Of 2,000 reports with 20 segments that are all alike, about 5 % see one stand out."""
    p = np.random.default_rng(0).random((2000, 20))
    alarms = sum(holm(each).min() <= 0.05 for each in p)
    assert alarms <= 100 + 30
    assert np.mean(p.min(axis=1) <= 0.05) > 0.5  # which without it would be most of them
