"""How both models' predictions are spread, against scipy's figures and hand-made counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from shadowlane.aggregator.report._apart import apart
from shadowlane.aggregator.report._ranked import Buckets, Ranked
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import LabelFlip, ScoreDistribution
from unit.aggregator.report_lake import Row, comparison, land

NAN, INF = math.nan, math.inf
Pair = tuple[float | None, float | None]


def report_of(folder: Path, rows: Sequence[Row]) -> Report:
    """Land these rows and read how their predictions are spread."""
    return read_report(land(folder, rows), Scope("ranker", "challenger"), sections={"distributions"})


def scores_of(folder: Path, pairs: Sequence[Pair]) -> ScoreDistribution:
    """The distribution of these pairs of scores."""
    rows = [comparison(n, primary_score=p, shadow_score=s) for n, (p, s) in enumerate(pairs)]
    found = report_of(folder, rows).scores
    assert found is not None
    return found


def labelled(pairs: Sequence[tuple[str | None, str | None]], **changes: float | None) -> list[Row]:
    """A comparison for each pair of labels."""
    none: dict[str, float | None] = {"primary_score": None, "shadow_score": None, **changes}
    return [comparison(n, primary_label=p, shadow_label=s, **none) for n, (p, s) in enumerate(pairs)]


def drawn(n: int, shift: float = 0.0) -> list[Pair]:
    """Scores of a model and of one that says nearly the same."""
    rng = np.random.default_rng(n)
    what_both_see = rng.beta(2, 5, n)
    primary, shadow = (what_both_see + rng.normal(mean, 0.05, n) for mean in (0.0, shift))
    return [*zip(primary.tolist(), shadow.tolist(), strict=True)]


def test_every_distance_is_scipys(tmp_path: Path) -> None:
    """Jensen-Shannon as distance and in bits over the bins; the other two over the raw scores."""
    pairs = drawn(2000, 0.02)
    found = scores_of(tmp_path, pairs)
    primary, shadow = np.array(pairs, np.float64).T
    assert found.divergence is not None
    assert found.distance == found.divergence.distance
    assert found.distance == pytest.approx(jensenshannon(found.primary, found.shadow))
    assert found.divergence.bits == pytest.approx(jensenshannon(found.primary, found.shadow, 2) ** 2)
    smooth_p, smooth_q = np.array(found.primary) + 0.5, np.array(found.shadow) + 0.5
    smooth_p, smooth_q = smooth_p / smooth_p.sum(), smooth_q / smooth_q.sum()
    assert found.divergence.psi == pytest.approx(np.sum((smooth_q - smooth_p) * np.log(smooth_q / smooth_p)))
    assert found.kolmogorov_smirnov == pytest.approx(stats.ks_2samp(primary, shadow).statistic)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(primary, shadow))
    assert (found.primary_mean, found.shadow_mean) == pytest.approx((primary.mean(), shadow.mean()))
    assert found.shadow_median == pytest.approx(np.median(shadow))


def test_the_bias_is_what_samples_of_one_distribution_come_to(tmp_path: Path) -> None:
    """Of that size, and over the bins in use: by the formula that simulations confirm."""
    found = scores_of(tmp_path, drawn(1000))
    in_use = np.count_nonzero(np.add(found.primary, found.shadow))
    assert found.divergence is not None
    assert found.divergence.bias_bits == pytest.approx((in_use - 1) / (8 * math.log(2)) * (2 / 1000))


def test_models_that_are_alike_are_within_what_swaps_give(tmp_path: Path) -> None:
    """Noise without direction stays below the null; a shift of every score does not."""
    alike = scores_of(tmp_path / "alike", drawn(3000)).divergence
    shifted = scores_of(tmp_path / "shifted", drawn(3000, 0.03)).divergence
    assert alike is not None
    assert shifted is not None
    assert shifted.null_p95 is not None
    assert shifted.distance > shifted.null_p95
    assert shifted.p_value == pytest.approx(1 / 201)
    assert alike.null_p95 is not None
    assert alike.p_value is not None
    assert alike.p_value > 0.01


def test_the_swaps_are_scipys_permutations_of_pairs(tmp_path: Path) -> None:
    """95 of 100 swaps stay below about the same bound where scipy swaps row by row."""
    pairs = drawn(300)
    found = scores_of(tmp_path, pairs)
    columns = np.digitize(np.array(pairs, np.float64).T, found.edges[1:-1])

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(jensenshannon(*(np.bincount(each, minlength=50) for each in (one, other))))

    test = stats.permutation_test(
        tuple(columns), distance, permutation_type="samples", n_resamples=400, vectorized=False,
        alternative="greater", rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.divergence is not None
    assert found.divergence.null_p95 == pytest.approx(np.quantile(test.null_distribution, 0.95), rel=0.1)
    assert found.divergence.p_value == pytest.approx(test.pvalue, abs=0.1)


def test_the_figures_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    """The same rows in another order, in other files, give the same figures, draws and all."""
    pairs = drawn(500)
    forwards = scores_of(tmp_path / "a", pairs)
    rows = [comparison(n, primary_score=p, shadow_score=s) for n, (p, s) in reversed([*enumerate(pairs)])]
    land(tmp_path / "b", rows[:200])
    backwards = report_of(tmp_path / "b", rows[200:]).scores
    assert backwards is not None
    assert backwards.divergence == forwards.divergence
    assert backwards.wasserstein == pytest.approx(forwards.wasserstein, rel=1e-12)
    assert backwards.primary_mean == pytest.approx(forwards.primary_mean, rel=1e-12)


def test_one_request_has_figures(tmp_path: Path) -> None:
    """Two scores that differ have nothing in common; nobody can say more of one request."""
    found = scores_of(tmp_path, [(0.25, 0.75)])
    assert found.distance == pytest.approx(math.sqrt(math.log(2)))
    assert found.divergence is not None
    assert found.divergence.bits == pytest.approx(1.0)
    assert found.divergence.p_value == 1.0
    assert (found.kolmogorov_smirnov, found.wasserstein) == (1.0, 0.5)


def test_scores_of_one_model_alone_are_shown_without_distances(tmp_path: Path) -> None:
    """A shadow without scores is in no bin; each request of it is one-sided."""
    found = scores_of(tmp_path, [(0.1, None), (0.9, None)])
    assert (sum(found.primary), sum(found.shadow), found.one_sided) == (2, 0, 2)
    assert (found.distance, found.divergence, found.kolmogorov_smirnov, found.wasserstein) == (None,) * 4
    assert (found.primary_mean, found.shadow_mean, found.shadow_median) == (0.5, None, None)


def test_not_a_number_is_in_no_figure(tmp_path: Path) -> None:
    """NaN and infinities change no distance: they are counted beside it."""
    finite = [(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)]
    clean = scores_of(tmp_path / "clean", finite)
    found = scores_of(tmp_path / "all", [*finite, (NAN, NAN), (INF, -INF), (None, None)])
    assert (found.primary_not_finite, found.shadow_not_finite, found.one_sided) == (2, 2, 0)
    assert (found.distance, found.wasserstein) == (clean.distance, clean.wasserstein)
    assert found.kolmogorov_smirnov == clean.kolmogorov_smirnov
    assert found.divergence is not None
    assert clean.divergence is not None
    assert found.divergence.null_p95 == clean.divergence.null_p95


def test_only_nan_is_no_distribution(tmp_path: Path) -> None:
    """Where no score is finite there are no bins, and no figure that could pass a gate."""
    found = scores_of(tmp_path, [(NAN, INF), (NAN, NAN)])
    assert (found.edges, found.distance, found.primary_mean) == ((), None, None)
    assert (found.primary_not_finite, found.shadow_not_finite) == (2, 2)


def test_a_range_beyond_what_a_float_can_say(tmp_path: Path) -> None:
    """Scores at both ends of the floats are binned; what cannot be told is None, never infinite."""
    most = np.finfo(np.float64).max
    found = scores_of(tmp_path, [(-most, most), (most, -most), (most, most)])
    assert (sum(found.primary), sum(found.shadow)) == (3, 3)
    assert found.kolmogorov_smirnov == 0.0
    figures = (found.wasserstein, found.primary_mean, found.distance, found.primary_median)
    assert all(each is None or math.isfinite(each) for each in figures)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    """The two zeros lie in the same bin, also where an edge lies at 0."""
    found = scores_of(tmp_path, [(-0.0, 0.0), (-1.0, -1.0), (1.0, 1.0)])
    assert (found.primary, found.distance, found.kolmogorov_smirnov) == (found.shadow, 0.0, 0.0)


@pytest.mark.parametrize("shift", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("kind", ["share", "logit", "price", "grid", "one"])
def test_very_many_values_are_as_far_apart_as_scipy_says(kind: str, shift: float) -> None:
    """Counted in buckets instead of sorted, both distances are as right as the buckets are narrow."""
    rng = np.random.default_rng(3)
    values = {
        "share": rng.beta(2, 5, 20_000),
        "logit": rng.normal(0, 3, 20_000),
        "price": rng.lognormal(3, 1, 20_000),
        "grid": rng.integers(0, 50, 20_000) / 50,
        "one": np.full(20_000, 0.25),
    }
    one = values[kind]
    other = one[:15_000] * (1 + shift)
    buckets = Buckets.over([one, other], 1 << 18)
    most, distance = apart(Ranked([one], buckets), Ranked([other], buckets), few=0)
    share_of_a_bucket = max(buckets.counts([each]).max() / len(each) for each in (one, other))
    spread = float(max(one.max(), other.max()) - min(one.min(), other.min()))
    assert most is not None
    missing = stats.ks_2samp(one, other, method="asymp").statistic - most
    assert -1e-12 < missing <= share_of_a_bucket
    assert missing < 1e-3 or kind == "grid"
    assert distance == pytest.approx(stats.wasserstein_distance(one, other), abs=1e-3 * max(spread, 1e-9))


def test_labels_flip_from_one_to_another(tmp_path: Path) -> None:
    """What the shadow made of which label, the most frequent first; equal labels are no flip."""
    pairs = [("cat", "dog")] * 5 + [("dog", "cat")] * 2 + [("owl", "cat")] * 2 + [("cat", "cat")] * 9
    found = report_of(tmp_path, labelled([*pairs, ("cat", None)])).labels
    assert found is not None
    assert found.flips == (
        LabelFlip(primary="cat", shadow="dog", requests=5),
        LabelFlip(primary="dog", shadow="cat", requests=2),
        LabelFlip(primary="owl", shadow="cat", requests=2),
    )
    assert found.one_sided == 1


def test_only_the_most_frequent_flips_are_shown(tmp_path: Path) -> None:
    """Twenty are enough to read."""
    pairs = [(f"a{n:02}", f"b{n:02}") for n in range(25)] + [("a24", "b24")]
    found = report_of(tmp_path, labelled(pairs)).labels
    assert found is not None
    assert len(found.flips) == 20
    assert found.flips[0] == LabelFlip(primary="a24", shadow="b24", requests=2)


def test_swaps_that_cancel_are_seen_in_the_flips_alone(tmp_path: Path) -> None:
    """As many flips in both directions leave both distributions the same."""
    found = report_of(tmp_path, labelled([("a", "b")] * 50 + [("b", "a")] * 50 + [("a", "a")] * 100)).labels
    assert found is not None
    assert found.divergence is not None
    assert (found.distance, found.divergence.bits, found.divergence.p_value) == (0.0, 0.0, 1.0)
    assert [each.requests for each in found.flips] == [50, 50]


def test_labels_diverge_as_scores_do(tmp_path: Path) -> None:
    """Flips in one direction alone are beyond what swaps give; confidences have their own figures."""
    pairs: list[tuple[str | None, str | None]] = [*[("a", "b")] * 30, *[("a", "a")] * 70, *[("b", "b")] * 20]
    report = report_of(tmp_path, labelled(pairs, primary_score=0.9, shadow_score=0.8))
    assert report.labels is not None
    assert report.labels.divergence is not None
    assert report.labels.divergence.bits == pytest.approx(jensenshannon([100, 20], [70, 50], 2) ** 2)
    assert report.labels.divergence.null_p95 is not None
    assert report.labels.divergence.distance > report.labels.divergence.null_p95
    assert report.scores is not None
    assert report.scores.wasserstein == pytest.approx(0.1)


def test_very_many_labels_have_no_null(tmp_path: Path) -> None:
    """Free text as labels has a distance; its swaps would cost too much to simulate."""
    found = report_of(tmp_path, labelled([(f"text {n}", f"text {n + 1}") for n in range(150)])).labels
    assert found is not None
    assert found.divergence is not None
    assert found.divergence.distance == found.distance
    assert (found.divergence.null_p95, found.divergence.p_value) == (None, None)
    assert found.other is not None


def test_nothing_at_all_has_no_distribution(tmp_path: Path) -> None:
    """An empty lake is no error."""
    report = report_of(tmp_path, [])
    assert (report.scores, report.labels, report.distance) == (None, None, None)
