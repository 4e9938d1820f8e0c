"""Ground truth: which label counts, who was right, for whom that speaks; scikit-learn has the figures too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, mean_absolute_error
from statsmodels.stats.contingency_tables import mcnemar

from shadowlane.aggregator.report import _truth_load
from shadowlane.aggregator.report._cohorts import cohorts
from shadowlane.aggregator.report._hours import hours
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report._strata import strata
from shadowlane.aggregator.report._truth import Compared, ground_truth, load_truth
from shadowlane.aggregator.report._truth_figures import Users, correctness
from shadowlane.aggregator.report._truth_judged import Judged
from shadowlane.aggregator.report.figures import GroundTruth, Outcome
from shadowlane.lake import COMPARISONS, ERRORS, LABELS, OpenLake, read_lake
from unit.aggregator.report_lake import NOON, Row, append, comparison, error, land

SCOPE = Scope("ranker", "challenger")
DAY = timedelta(days=1)
TABLES = (COMPARISONS, ERRORS, LABELS)


def label(n: int, value: Any, after: timedelta = DAY, **changes: Any) -> Row:
    """The outcome of the n-th request, observed so long after it: text is a label, a float a score."""
    moment = NOON + timedelta(seconds=n) + after
    said = {"label_label": value} if isinstance(value, str) else {"label_score": value}
    return {
        "request_id": f"r{n}",
        "name": "label",
        "observed_at": moment,
        "source": "test",
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": moment.date(),
        **said,
        **changes,
    }


def classes(n: int, primary: str | None, shadow: str | None, **changes: Any) -> Row:
    """The comparison of two labels, without scores."""
    plain = {"primary_score": None, "shadow_score": None, "difference": None}
    mine = {"primary_label": primary, "shadow_label": shadow, "agreement": primary == shadow}
    return comparison(n, **plain | mine | changes)


def scores(n: int, primary: float | None, shadow: float | None, **changes: Any) -> Row:
    """The comparison of two scores."""
    is_close = primary is not None and shadow is not None and abs(primary - shadow) <= 0.05
    return comparison(
        n, **{"primary_score": primary, "shadow_score": shadow, "agreement": is_close} | changes
    )


def truth(
    folder: Path,
    comparisons: Sequence[Row],
    labels: Sequence[Row],
    *,
    errors: Sequence[Row] = (),
    scope: Scope = SCOPE,
    threshold: float | None = None,
) -> GroundTruth:
    """What the report says of a lake with these rows."""
    land(folder, comparisons, errors)
    if labels:
        append(folder, LABELS, pa.Table.from_pylist([*labels], schema=LABELS.schema))
    return read(folder, scope, threshold)


def read(folder: Path, scope: Scope = SCOPE, threshold: float | None = None) -> GroundTruth:
    """What the report says of a lake."""

    def section(lake: OpenLake) -> GroundTruth:
        load(lake, scope)
        counted = strata(lake)
        agreed = counted.count(lambda each: bool(each.agreement))
        judged = counted.count(lambda each: each.agreement is not None)
        compared = Compared(
            requests=counted.count(),
            agreement=agreed / judged if judged else None,
            hours=hours(counted),
            cohorts=cohorts(lake, counted),
        )
        return ground_truth(lake, load_truth(lake, threshold), compared)

    return read_lake(folder, scope, TABLES, section)


def outcome(found: GroundTruth) -> Outcome:
    """The one outcome that there is."""
    [only] = found.outcomes
    return only


def test_two_classifiers_are_held_against_the_outcome(tmp_path: Path) -> None:
    """Of all that is labelled, and of the disagreements apart, it is counted how often each was right."""
    rows = [classes(n, "a", "a") for n in range(6)] + [classes(n, "a", "b") for n in range(6, 10)]
    found = outcome(truth(tmp_path, rows, [label(n, "a" if n < 7 else "b") for n in range(9)]))
    right, apart = found.correctness, found.on_disagreements
    assert found.kind == "class"
    assert (found.labelled.part, found.labelled.whole, found.threshold) == (9, 10, None)
    assert right is not None
    assert (right.requests, right.primary.part, right.shadow.part) == (9, 7, 8)
    assert (right.only_primary, right.only_shadow) == (1, 2)
    assert right.difference == pytest.approx(1 / 9)
    assert apart is not None
    assert (apart.requests, apart.primary.part, apart.shadow.part) == (3, 1, 2)
    assert found.primary_correct_on_disagreements == pytest.approx(1 / 3)
    assert found.shadow_correct_on_disagreements == pytest.approx(2 / 3)
    assert found.agreement_labelled == pytest.approx(6 / 9)
    assert found.agreement_all == pytest.approx(6 / 10)


def test_the_latest_label_counts_whenever_it_landed(tmp_path: Path) -> None:
    """Corrections, repetitions, withdrawals and contradictions are told apart, each counted once."""
    labels = [
        label(0, "b", 2 * DAY, landed_offset=1),  # lands first, and is what counts
        label(0, "a", 1 * DAY, landed_offset=2),
        label(1, "a", 1 * DAY),
        label(1, "a", 2 * DAY),  # says it again: no correction
        label(2, "a", 1 * DAY),
        label(2, None, 2 * DAY),  # withdrawn
        label(3, "a", landed_offset=5),
        label(3, "b", landed_offset=6),  # contradicts it; the message sent later counts
        label(4, None, 1 * DAY),  # withdrawn, and then known after all
        label(4, "b", 2 * DAY),
    ]
    found = truth(tmp_path, [classes(n, "a", "b") for n in range(6)], labels)
    right = outcome(found).correctness
    assert (found.corrected, found.withdrawn, found.contradictory) == (1, 1, 1)
    assert right is not None
    assert (right.requests, right.only_primary, right.only_shadow) == (4, 1, 3)


def test_labels_of_requests_that_are_not_here_are_counted_and_judge_nothing(tmp_path: Path) -> None:
    """Labels of unknown requests, of errored ones and of another model touch no figure."""
    labels = [
        label(0, "a"),
        label(1, "a"),
        label(7, "a"),
        label(8, "a"),
        label(8, "a", name="click"),
        label(9, None),
        label(0, "b", 9 * DAY, model="other"),
    ]
    found = truth(tmp_path, [classes(0, "a", "a")], labels, errors=[error(1)])
    assert (found.unknown, found.errored, found.withdrawn) == (3, 1, 0)
    assert outcome(found).labelled.part == 1
    right = outcome(found).correctness
    assert right is not None
    assert right.primary.part == 1


def test_a_window_cuts_requests_and_not_their_labels(tmp_path: Path) -> None:
    """A label counts on whatever day it was observed, before, in or after the window."""
    rows = [classes(n, "a", "b", event_time=NOON + n * DAY, date=(NOON + n * DAY).date()) for n in range(3)]
    labels = [
        label(1, "b", 40 * DAY),
        label(1, "a", 30 * DAY),
        label(2, "b"),
        label(0, "a", -3 * DAY),
    ]
    window = Scope("ranker", "challenger", start=NOON + timedelta(hours=12), end=NOON + timedelta(hours=36))
    found = truth(tmp_path, rows, labels, scope=window)
    assert outcome(found).labelled.whole == 1
    assert (found.corrected, found.unknown) == (1, 2)
    right = outcome(found).correctness
    assert right is not None
    assert (right.only_primary, right.only_shadow) == (0, 1)


def test_a_request_published_twice_has_one_outcome(tmp_path: Path) -> None:
    """A request's first comparison is judged; a retry adds nothing."""
    again = classes(0, "b", "b", source_offset=99, event_time=NOON + timedelta(hours=1))
    found = outcome(truth(tmp_path, [classes(0, "a", "b"), again], [label(0, "a")]))
    assert found.correctness is not None
    assert (found.correctness.requests, found.correctness.only_primary) == (1, 1)


def test_horizons_know_what_was_known_by_then(tmp_path: Path) -> None:
    """A horizon has the requests old enough for it, and of each the label that counted so long after it."""
    rows = [classes(n, "a", "b", event_time=NOON + timedelta(seconds=n)) for n in range(4)]
    old = [classes(n, "a", "b", event_time=NOON + timedelta(days=9)) for n in (4, 5)]
    labels = [
        label(0, "a", timedelta(hours=5)),  # said in time, and corrected late
        label(0, "b", timedelta(days=5)),
        label(1, "b", DAY),  # to the microsecond
        label(2, "a", timedelta(days=2)),
        label(2, None, timedelta(days=4)),  # known for two days
        label(3, "b", timedelta(days=-1)),  # before its request
        label(4, "b", observed_at=NOON + timedelta(days=10), after=timedelta()),
        label(5, "b", observed_at=NOON + timedelta(days=12, hours=1)),  # the newest
    ]
    found = outcome(truth(tmp_path, rows + old, labels)).horizons
    assert [(each.days, each.due, each.labelled) for each in found] == [
        (1, 6, 4),
        (3, 6, 5),
        (7, 4, 3),
        (30, 0, 0),
    ]
    sides = [
        each.correctness and (each.correctness.primary.part, each.correctness.shadow.part) for each in found
    ]
    assert sides == [(1, 3), (2, 3), (0, 3), None]


def test_random_histories_are_read_as_by_hand(tmp_path: Path) -> None:
    """Each label's time of validity, against a naive reading of each history."""
    chance = np.random.default_rng(5)
    labels = [
        label(
            int(n),
            [None, "a", "b"][int(said)],
            timedelta(hours=int(hour)),
            landed_offset=place,
            landed_partition=int(chance.integers(-2, 2)),
        )
        for place, (n, said, hour) in enumerate(
            zip(
                chance.integers(0, 150, 500),
                chance.integers(0, 3, 500),
                chance.integers(0, 100, 500),
                strict=True,
            )
        )
    ]
    made = {n: NOON + timedelta(seconds=n) for n in range(120)}
    found = truth(tmp_path, [classes(n, "a", "b") for n in made], labels)
    histories: dict[int, list[Row]] = {}
    for row in sorted(
        labels, key=lambda each: (each["observed_at"], -each["landed_partition"], each["landed_offset"])
    ):
        histories.setdefault(int(row["request_id"][1:]), []).append(row)
    newest = max(each["observed_at"] for each in labels)
    for horizon in outcome(found).horizons:
        limit = horizon.days * DAY
        known = [
            said
            for n, moment in made.items()
            if moment <= newest - limit and (said := _said(histories.get(n, ()), moment + limit)) is not None
        ]
        _holds(known, horizon.labelled, horizon.correctness)
    latest = [said for n in made if (said := _said(histories.get(n, ()), newest)) is not None]
    _holds(latest, outcome(found).labelled.part, outcome(found).correctness)
    withdrawn = sum(bool(histories.get(n)) and _said(histories[n], newest) is None for n in made)
    assert found.withdrawn == withdrawn
    assert found.unknown == sum(_said(rows, newest) is not None for n, rows in histories.items() if n >= 120)
    same_time = {
        n
        for n in made
        for first in histories.get(n, ())
        for second in histories[n]
        if first["observed_at"] == second["observed_at"]
        and first.get("label_label") != second.get("label_label")
    }
    assert same_time
    assert found.contradictory == len(same_time)


def _said(history: Sequence[Row], moment: datetime) -> str | None:
    """What was last said until a moment; None too where that took it back."""
    until = [row.get("label_label") for row in history if row["observed_at"] <= moment]
    return until[-1] if until else None


def _holds(known: Sequence[str], labelled: int, right: Any) -> None:
    assert labelled == len(known)
    assert (right and (right.only_primary, right.only_shadow)) == (
        (known.count("a"), known.count("b")) if known else None
    )


def test_scores_are_held_against_zero_and_one_as_others_do(tmp_path: Path) -> None:
    """Correctness, Brier score, bins and McNemar's test are those of scikit-learn and statsmodels."""
    chance = np.random.default_rng(2)
    primary = chance.uniform(0, 1, 900)
    shadow = np.clip(primary + chance.normal(0, 0.2, 900), 0, 1)
    came = (chance.uniform(0, 1, 900) < primary).astype(int)
    rows = [scores(n, float(p), float(s)) for n, (p, s) in enumerate(zip(primary, shadow, strict=True))]
    found = outcome(truth(tmp_path, rows, [label(n, str(y)) for n, y in enumerate(came)]))
    right = found.correctness
    assert (found.kind, found.threshold) == ("binary", 0.5)
    assert right is not None
    assert right.primary.value == pytest.approx(accuracy_score(came, primary >= 0.5))
    assert right.shadow.value == pytest.approx(accuracy_score(came, shadow >= 0.5))
    table = [[0, right.only_primary], [right.only_shadow, 0]]
    assert right.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue)
    for side, score in ((found.primary_calibration, primary), (found.shadow_calibration, shadow)):
        assert side is not None
        assert side.of == "outcome"
        assert side.brier == pytest.approx(brier_score_loss(came, score))
    assert found.primary_calibration is not None
    rates, promised = calibration_curve(came, primary, n_bins=15, strategy="quantile")
    bins = found.primary_calibration.bins
    assert [each.outcome_rate for each in bins] == pytest.approx(rates, abs=0.03)
    assert [each.mean_score for each in bins] == pytest.approx(promised, abs=0.003)
    squares = (shadow - came) ** 2 - (primary - came) ** 2
    assert found.brier_difference == pytest.approx(squares.mean())
    fit = sm.OLS(squares, np.ones(900)).fit()
    assert found.brier_difference_interval is not None
    assert (found.brier_difference_interval.low, found.brier_difference_interval.high) == pytest.approx(
        tuple(fit.conf_int()[0])
    )
    assert found.users is None


def test_users_with_many_requests_are_one_piece_of_evidence_each(tmp_path: Path) -> None:
    """Where entity_id repeats, intervals are those of clusters: wider, as statsmodels has them."""
    chance = np.random.default_rng(3)
    user = np.repeat(np.arange(60), 10)
    taste = np.repeat(chance.uniform(0, 1, 60), 10)
    came = (chance.uniform(0, 1, 600) < taste).astype(int)
    rows = [scores(n, 0.6, float(taste[n]), entity_id=f"u{user[n]}") for n in range(600)]
    labels = [label(n, str(y)) for n, y in enumerate(came)]
    found = outcome(truth(tmp_path / "users", rows, labels))
    alone = outcome(truth(tmp_path / "alone", [row | {"entity_id": None} for row in rows], labels))
    squares = (taste - came) ** 2 - (0.6 - came) ** 2
    fit = sm.OLS(squares, np.ones(600)).fit(
        cov_type="cluster", cov_kwds={"groups": user, "use_correction": False}, use_t=True
    )
    low, high = fit.conf_int()[0]
    correction = math.sqrt(60 / 59)
    mean = squares.mean()
    assert found.brier_difference_interval is not None
    assert found.brier_difference_interval.low == pytest.approx(mean - (mean - low) * correction)
    assert found.brier_difference_interval.high == pytest.approx(mean + (high - mean) * correction)
    assert (found.users, alone.users) == (60, None)
    assert found.correctness is not None
    assert alone.correctness is not None
    for mine, plain in (
        (found.correctness.difference_interval, alone.correctness.difference_interval),
        (found.correctness.primary.interval, alone.correctness.primary.interval),
        (found.calibration_difference_interval, alone.calibration_difference_interval),
    ):
        assert mine is not None
        assert plain is not None
        assert mine.high - mine.low > plain.high - plain.low
    assert found.correctness.mcnemar_p == alone.correctness.mcnemar_p


def test_the_calibration_errors_difference_lies_where_a_bootstrap_puts_it(tmp_path: Path) -> None:
    """The interval is about as wide as one from drawing the requests themselves anew."""
    chance = np.random.default_rng(4)
    primary = chance.uniform(0.05, 0.95, 1500)
    came = (chance.uniform(0, 1, 1500) < primary).astype(float)
    shadow = primary**2
    rows = [scores(n, float(p), float(s)) for n, (p, s) in enumerate(zip(primary, shadow, strict=True))]
    found = outcome(truth(tmp_path, rows, [label(n, float(y)) for n, y in enumerate(came)]))
    bins = [
        np.searchsorted(np.quantile(each, np.linspace(0, 1, 16))[1:-1], each) for each in (primary, shadow)
    ]
    drawn = []
    for _ in range(400):
        some = chance.integers(0, 1500, 1500)
        first, second = (
            np.abs(np.bincount(which[some], score[some] - came[some])).sum() / 1500
            for which, score in zip(bins, (primary, shadow), strict=True)
        )
        drawn.append(second - first)
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = found.calibration_difference_interval
    assert interval is not None
    assert found.calibration_difference is not None
    assert found.calibration_difference > 0.05
    assert interval.low < found.calibration_difference < interval.high
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.15)


def test_numbers_are_held_against_scores_by_their_distance(tmp_path: Path) -> None:
    """Mean absolute errors and their paired difference; nobody is right or wrong about a number."""
    chance = np.random.default_rng(6)
    came = chance.lognormal(3, 1, 200)
    primary, shadow = came + chance.normal(0, 5, 200), came + chance.normal(0, 3, 200)
    rows = [scores(n, float(p), float(s)) for n, (p, s) in enumerate(zip(primary, shadow, strict=True))]
    rows += [scores(200, math.nan, 1.0), scores(201, 1.0, None), scores(202, 1e300, 1.0)]
    labels = [label(n, float(y)) for n, y in enumerate([*came, 1.0, 1.0, 1.0])]
    found = outcome(truth(tmp_path, rows, [*labels, label(203, math.inf)]))
    numeric = found.numeric
    assert found.kind == "number"
    assert found.correctness is None
    assert numeric is not None
    assert (numeric.requests, numeric.left_out) == (200, 3)
    assert numeric.primary_mean_absolute == pytest.approx(mean_absolute_error(came, primary))
    assert numeric.shadow_mean_absolute == pytest.approx(mean_absolute_error(came, shadow))
    fit = sm.OLS(np.abs(shadow - came) - np.abs(primary - came), np.ones(200)).fit()
    assert numeric.difference == pytest.approx(fit.params[0])
    assert numeric.difference_interval is not None
    assert (numeric.difference_interval.low, numeric.difference_interval.high) == pytest.approx(
        tuple(fit.conf_int()[0])
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (["1", "0"], "binary"),
        (["true", "False"], "binary"),
        ([1.0, 0.0], "binary"),
        (["7", "0"], "number"),
        ([0.3, 1.0], "number"),
        (["fraud", "ok"], "other"),
        ([math.nan, math.nan], "other"),
    ],
)
def test_what_scores_are_held_against_is_settled_by_the_labels(
    tmp_path: Path, said: Sequence[Any], kind: str
) -> None:
    """0 and 1 in any form are two classes; other numbers numbers; of words a score says nothing."""
    rows = [scores(n, 0.9, 0.1) for n in range(2)]
    found = outcome(truth(tmp_path, rows, [label(n, value) for n, value in enumerate(said)]))
    assert found.kind == kind
    assert (found.correctness is not None) == (kind == "binary")
    if found.correctness:
        assert (found.correctness.only_primary, found.correctness.only_shadow) == (1, 1)


def test_classes_of_two_are_the_same_in_words_and_numbers(tmp_path: Path) -> None:
    """`true` is 1 and `1.0` is 1 where all outcomes are 0 or 1; in other words, text is compared as text."""
    rows = [classes(0, "true", "1"), classes(1, "false", "1"), classes(2, "1", "0")]
    found = outcome(truth(tmp_path / "two", rows, [label(0, "1"), label(1, "True"), label(2, 1.0)]))
    assert found.kind == "class"
    assert found.correctness is not None
    assert (found.correctness.primary.part, found.correctness.shadow.part) == (2, 2)
    rows = [classes(0, "True", "true"), classes(1, "maybe", "no"), classes(2, "3", "4")]
    found = outcome(truth(tmp_path / "more", rows, [label(0, "true"), label(1, "maybe"), label(2, 3.0)]))
    assert found.correctness is not None
    assert (found.correctness.primary.part, found.correctness.shadow.part) == (2, 1)


def test_outcomes_that_models_have_no_word_for_are_held_against_nothing(tmp_path: Path) -> None:
    """A score beside a label is the confidence in it: no outcome of 0 or 1, and no sum of money."""
    rows = [classes(n, "fraud", "ok", primary_score=0.9, shadow_score=0.8) for n in range(3)]
    found = truth(
        tmp_path,
        rows,
        [label(n, "1") for n in range(3)] + [label(n, 12.5, name="revenue") for n in range(2)],
    )
    assert [(each.name, each.kind, each.labelled.part) for each in found.outcomes] == [
        ("label", "other", 3),
        ("revenue", "other", 2),
    ]
    assert all(each.correctness is None and each.numeric is None for each in found.outcomes)


def test_a_threshold_cuts_scores_of_any_scale(tmp_path: Path) -> None:
    """Without one, scores beyond 0 to 1 are held against 0 and 1 as numbers; with one they are cut."""
    labels = [label(0, "1"), label(1, "0")]
    rows = [scores(0, 80.0, 30.0), scores(1, 20.0, 30.0)]
    found = outcome(truth(tmp_path, rows, labels))
    assert (found.kind, found.correctness, found.threshold) == ("number", None, None)
    assert found.numeric is not None
    cut = outcome(read(tmp_path, threshold=50.0))
    assert (cut.kind, cut.threshold, cut.primary_calibration, cut.numeric) == ("binary", 50.0, None, None)
    assert cut.correctness is not None
    assert (cut.correctness.primary.part, cut.correctness.shadow.part) == (2, 1)
    low = outcome(truth(tmp_path / "low", [scores(0, 0.2, 0.1)], [label(0, "1")], threshold=0.2))
    assert low.correctness is not None
    assert (low.correctness.primary.part, low.correctness.shadow.part) == (1, 0)


def test_an_answer_that_is_none_is_wrong(tmp_path: Path) -> None:
    """A shadow that gives NaN or nothing where it is hard does not look the better for it."""
    rows = [
        scores(0, 0.9, math.nan),
        scores(1, 0.9, None),
        scores(2, 0.9, math.inf),
        scores(3, 0.9, 0.9),
        scores(4, math.nan, math.nan),
        scores(5, None, None, primary_vector=[1.0], shadow_vector=[1.0]),
    ]
    found = outcome(truth(tmp_path, rows, [label(n, "1") for n in range(6)]))
    assert found.correctness is not None
    assert found.correctness.requests == 5
    assert (found.correctness.primary.part, found.correctness.shadow.part) == (4, 1)
    assert found.primary_calibration is not None
    assert found.shadow_calibration is not None
    assert found.primary_calibration.bins[0].requests == found.shadow_calibration.bins[0].requests == 1


def test_confidences_are_probabilities_of_the_own_label(tmp_path: Path) -> None:
    """Beside labels, a score promises that the label is right, not that the outcome is 1."""
    rows = [
        classes(n, "a" if n % 2 else "b", "b", primary_score=0.8, shadow_score=0.6 + n / 100)
        for n in range(10)
    ]
    found = outcome(truth(tmp_path, rows, [label(n, "b" if n < 6 else "a") for n in range(10)]))
    assert found.primary_calibration is not None
    assert found.shadow_calibration is not None
    assert found.primary_calibration.of == "label"
    came = np.array([("a" if n % 2 else "b") == ("b" if n < 6 else "a") for n in range(10)])
    assert found.primary_calibration.brier == pytest.approx(brier_score_loss(came, np.full(10, 0.8)))
    sure = 0.6 + np.arange(10) / 100
    assert found.shadow_calibration.brier == pytest.approx(brier_score_loss(np.arange(10) < 6, sure))


def test_a_probability_of_one_beside_a_label_is_taken_as_such(tmp_path: Path) -> None:
    """Beside "0" a score below a half is not the confidence in 0: it is the probability of 1."""
    score = [0.1, 0.2, 0.9, 0.7]
    rows = [
        classes(n, str(int(s > 0.5)), "1", primary_score=s, shadow_score=0.9) for n, s in enumerate(score)
    ]
    found = outcome(truth(tmp_path, rows, [label(n, str(n % 2)) for n in range(4)]))
    assert found.kind == "class"
    assert found.primary_calibration is not None
    assert found.primary_calibration.of == "outcome"
    assert found.primary_calibration.brier == pytest.approx(brier_score_loss([0, 1, 0, 1], score))
    assert found.shadow_calibration is not None
    assert found.shadow_calibration.of == "label"


def test_a_model_with_labels_and_one_with_scores_are_each_judged_by_what_they_say(tmp_path: Path) -> None:
    """An old model that answers "1" and a new one that answers 0.8 say the same."""
    rows = [classes(n, "1", None, shadow_score=0.8 if n else 0.3, agreement=False) for n in range(3)]
    found = outcome(truth(tmp_path, rows, [label(n, "1") for n in range(3)]))
    assert found.kind == "binary"
    assert found.correctness is not None
    assert (found.correctness.primary.part, found.correctness.shadow.part) == (3, 2)


def test_one_class_only_breaks_no_figure(tmp_path: Path) -> None:
    """All outcomes alike, all answers alike: rates and intervals are there, no p-value is below 1."""
    found = outcome(
        truth(tmp_path, [scores(n, 0.0, 1.0) for n in range(30)], [label(n, "1") for n in range(30)])
    )
    assert found.correctness is not None
    assert (found.correctness.primary.value, found.correctness.shadow.value) == (0.0, 1.0)
    assert found.correctness.mcnemar_p == pytest.approx(2 * 0.5**30)
    assert found.correctness.difference_interval is not None
    assert found.correctness.difference_interval.low < 1.0
    assert (found.brier_difference, found.calibration_difference) == (-1.0, -1.0)


def test_labels_of_some_may_say_the_opposite_of_all(tmp_path: Path) -> None:
    """Labels mostly of those that the shadow is good at: coverage names the others, weights turn it round."""
    rows, labels = [], []
    for n in range(1000):
        country = "DE" if n < 200 else "BR"
        rows.append(classes(n, "a", "b", segments=[("country", country), ("user", f"u{n}")]))
        if country == "DE" or n % 8 == 0:
            labels.append(label(n, "b" if country == "DE" else "a"))
    found = outcome(truth(tmp_path, rows, labels))
    assert found.correctness is not None
    assert found.correctness.difference is not None
    assert found.correctness.difference > 0.3
    least = next(each for each in found.coverage if each.segment == "country")
    assert (least.value, least.labelled.part, least.labelled.whole) == ("BR", 100, 800)
    assert least.p_value is not None
    assert least.p_value < 1e-20
    turned = next(each for each in found.reweighted if each.segment == "country")
    assert (turned.primary, turned.shadow) == pytest.approx((0.8, 0.2))
    assert (turned.difference, turned.reached) == pytest.approx((-0.6, 1.0))


def test_requests_without_a_segment_are_a_group_of_their_own(tmp_path: Path) -> None:
    """Those that have no value are covered, or not, like any other."""
    rows = [
        classes(0, "a", "a", segments=[("tier", "gold")]),
        classes(1, "a", "a", segments=[("plan", "pro")]),
    ]
    rows += [classes(2, "a", "a", segments=None), classes(3, "a", "a")]
    found = outcome(truth(tmp_path, rows, [label(n, "a") for n in (1, 2)]))
    assert {
        (each.segment, each.value): (each.labelled.part, each.labelled.whole) for each in found.coverage
    } == {
        ("tier", "gold"): (0, 1),
        ("tier", None): (2, 3),
        ("plan", "pro"): (1, 1),
        ("plan", None): (1, 3),
    }


def test_ignored_pairs_are_judged_and_are_no_disagreement(tmp_path: Path) -> None:
    """A rule that ignores a pair says nothing of who was right; it is no disagreement either."""
    rows = [classes(0, "a", "b"), classes(1, "a", "b", comparator="ignored:a"), classes(2, "a", "a")]
    found = outcome(truth(tmp_path, rows, [label(n, "a") for n in range(3)]))
    assert found.correctness is not None
    assert found.on_disagreements is not None
    assert (found.correctness.requests, found.on_disagreements.requests) == (3, 1)
    assert (found.agreement_labelled, found.agreement_all) == (0.5, 0.5)


def test_each_name_is_an_outcome_and_of_too_many_the_most_frequent_are_shown(tmp_path: Path) -> None:
    """Names are kept apart; those beyond the twentieth are counted."""
    labels = [label(0, "a", name=f"name{n}") for n in range(22)] + [label(1, "b", name="name21")]
    found = truth(tmp_path, [classes(0, "a", "b"), classes(1, "a", "b")], labels)
    assert (len(found.outcomes), found.more_names) == (20, 2)
    assert (found.outcomes[0].name, found.outcomes[0].labelled.part) == ("name21", 2)


def test_no_labels_cost_nothing(tmp_path: Path) -> None:
    """Where the model has no labels the comparisons are not even opened."""
    land(tmp_path, [classes(0, "a", "a")])
    other = pa.Table.from_pylist([label(0, "a", model="other")], schema=LABELS.schema)
    append(tmp_path, LABELS, other)
    # Nothing was loaded: a query of the comparisons would fail.
    assert read_lake(tmp_path, SCOPE, TABLES, load_truth) is None
    assert read(tmp_path) == GroundTruth(outcomes=(), corrected=0, withdrawn=0, contradictory=0, unknown=0)


def test_labels_of_years_are_not_held_for_the_report_of_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of far more labels than requests only the scope's are held: all figures are the same but `unknown`."""
    labels = [label(0, "a"), label(0, "b", 2 * DAY), label(1, "a")]
    labels += [label(n, "a", 9 * DAY) for n in range(2, 30)]
    first = truth(tmp_path, [classes(0, "a", "b")], labels, errors=[error(1)])
    monkeypatch.setattr(_truth_load, "_MANY", 5)
    assert first.unknown == 28
    assert read(tmp_path) == replace(first, unknown=None)


@pytest.mark.parametrize(
    ("comparisons", "errors"), [((), ()), ((), (error(0),))], ids=["no requests", "only errors"]
)
def test_labels_without_comparisons_are_only_counted(
    tmp_path: Path, comparisons: Sequence[Row], errors: Sequence[Row]
) -> None:
    """A scope without any comparison has no outcome, and says what its labels are of."""
    found = truth(tmp_path, comparisons, [label(0, "a")], errors=errors)
    assert found.outcomes == ()
    assert (found.unknown, found.errored) == (1 - len(errors), len(errors))


def test_the_figures_do_not_depend_on_how_the_rows_lie(tmp_path: Path) -> None:
    """The same labels and comparisons in another order, in other files, give the same figures."""
    rows = [classes(n, "ab"[n % 2], "ab"[n % 3 % 2], segments=[("c", str(n % 5))]) for n in range(60)]
    labels = [label(n % 50, "ab"[n % 7 % 2], timedelta(hours=n), landed_offset=n) for n in range(90)]
    first = truth(tmp_path / "one", rows, labels)
    for place, part in enumerate((rows[40:], rows[:40])):
        land(tmp_path / "two", part)
        some = labels[::-1][place::2]
        append(tmp_path / "two", LABELS, pa.Table.from_pylist(some, schema=LABELS.schema))
    assert read(tmp_path / "two") == first


def test_hostile_names_and_ids_are_only_values(tmp_path: Path) -> None:
    """Names, ids, segments and labels with quotes and zero bytes are read like any other."""
    odd = "'; DROP TABLE labelled; --"
    mine: Mapping[str, Any] = {"request_id": odd, "segments": [(odd, odd)]}
    found = truth(tmp_path, [classes(0, odd, "b", **mine)], [label(0, odd, request_id=odd, name=odd)])
    assert (outcome(found).name, outcome(found).labelled.part) == (odd, 1)
    assert outcome(found).correctness is not None
    assert [each.value for each in outcome(found).coverage] == [odd]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1))
def test_counts_add_up_and_intervals_hold_what_they_are_of(
    rows: list[tuple[bool, bool, bool, int]],
) -> None:
    """Of any requests, judged or not, by whatever users: parts are counted, bounds are about the value."""
    is_judged, primary, shadow, user = (np.array(column) for column in zip(*rows, strict=True))
    none = np.full(len(rows), np.nan)
    small = np.ones(len(rows), np.int8)
    judged = Judged(
        is_latest=small,
        agreement=small,
        primary_correct=np.where(is_judged, primary, -1).astype(np.int8),
        shadow_correct=np.where(is_judged, shadow, -1).astype(np.int8),
        primary_probability=none,
        primary_came=none,
        shadow_probability=none,
        shadow_came=none,
        primary_error=none,
        shadow_error=none,
        is_measured=small,
        entity=user.astype(np.uint64),
        known=small.astype(np.uint8),
    )
    everyone = np.ones(len(rows), np.bool_)
    found = correctness(judged, Users.among(judged.entity, everyone), everyone, 0.95)
    if found is None:
        assert not is_judged.any()
        return
    assert found.requests == is_judged.sum()
    assert found.primary.part == (is_judged & primary).sum()
    assert found.shadow.part - found.primary.part == found.only_shadow - found.only_primary
    for value, interval in (
        (found.primary.value, found.primary.interval),
        (found.shadow.value, found.shadow.interval),
        (found.difference, found.difference_interval),
    ):
        assert interval is not None
        assert value is not None
        assert interval.low - 1e-9 <= value <= interval.high + 1e-9
        assert interval.low < interval.high
