"""The figures by segment and by feature: of all segments unasked, and more of those that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from shadowlane.aggregator.report import _cohorts, _groups
from shadowlane.aggregator.report._cohorts import Cohorts, cohorts
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report._segments import Looked, look
from shadowlane.aggregator.report._strata import strata
from shadowlane.aggregator.report._truth import load_truth
from shadowlane.aggregator.report.figures import Segment, SegmentGroup
from shadowlane.errors import SettingsError
from shadowlane.lake import COMPARISONS, ERRORS, LABELS, REQUESTS, OpenLake, read_lake
from unit.aggregator.report_lake import NOON, Row, append, comparison, error, land

SCOPE = Scope("ranker", "challenger")
EDGES = tuple(np.linspace(0, 1, 51).tolist())


def looked(
    folder: Path,
    comparisons: Sequence[Row],
    errors: Sequence[Row] = (),
    *,
    by: Sequence[str] = (),
    labels: Mapping[int, str] | None = None,
    requests: Sequence[Row] = (),
) -> Looked:
    """What the segments of a lake with these rows say."""
    land(folder, comparisons, errors)
    if labels:
        append(folder, LABELS, pa.Table.from_pylist([*map(label, labels, labels.values())], LABELS.schema))
    if requests:
        append(folder, REQUESTS, pa.Table.from_pylist([*requests], REQUESTS.schema))
    return read(folder, by)[0]


def read(folder: Path, by: Sequence[str] = ()) -> tuple[Looked, Cohorts]:
    """The same of a lake that is there."""

    def figures(lake: OpenLake) -> tuple[Looked, Cohorts]:
        load(lake, SCOPE)
        labels = load_truth(lake)
        found = cohorts(lake, strata(lake), labels.first if labels else None)
        return look(lake, found, by, edges=EDGES), found

    return read_lake(folder, SCOPE, (COMPARISONS, ERRORS, LABELS, REQUESTS), figures)


def label(n: int, value: str) -> Row:
    """The outcome of the n-th request."""
    return {
        "request_id": f"r{n}",
        "name": "label",
        "label_label": value,
        "observed_at": NOON + timedelta(days=1),
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": NOON.date(),
    }


def of(**segments: str) -> dict[str, Any]:
    """A row's segments."""
    return {"segments": [*segments.items()]}


def groups(segment: Segment) -> dict[str | None, SegmentGroup]:
    """Its groups by their values."""
    return {group.value: group for group in segment.groups}


def test_all_segments_are_looked_at_unasked(tmp_path: Path) -> None:
    """Every value of every segment has its requests, agreement, errors and mean difference; none is lost."""
    rows = [
        comparison(
            n,
            agreement=n % 4 != 0,
            shadow_score=0.5 + n / 1000,
            **of(country="DE" if n < 60 else "BR", plan="pro") if n < 90 else {},
        )
        for n in range(100)
    ]
    bad = [error(n, **of(country="BR")) for n in range(100, 120)]
    found = looked(tmp_path, rows, bad)
    assert found.asked == ()
    assert [(each.name, each.values) for each in found.found] == [("country", 2), ("plan", 1)]
    country = groups(found.found[0])
    assert {value: (g.requests, g.compared, g.errored, g.is_small) for value, g in country.items()} == {
        "DE": (60, 60, 0, True),
        "BR": (50, 30, 20, True),
        None: (10, 10, 0, True),
    }
    assert country["BR"].agreement_rate == pytest.approx(22 / 30)
    assert country["BR"].error_rate == 0.4
    assert country["DE"].mean_difference == pytest.approx(np.mean(np.arange(60)) / 1000)
    assert country["DE"].agreement is not None
    assert country["DE"].agreement.interval is not None
    expected = proportion_confint(45, 60, 0.05, method="wilson")
    assert (country["DE"].agreement.interval.low, country["DE"].agreement.interval.high) == pytest.approx(
        expected
    )
    assert [group.requests for group in found.found[1].groups] == [30, 90]


def test_p_values_are_corrected_for_all_groups(tmp_path: Path) -> None:
    """Each group is tested against the rest; Holm's correction runs over all segments and figures."""
    rng = np.random.default_rng(5)
    wrong = {"a": 0.02, "b": 0.1, "c": 0.12}
    rows, tally = [], {value: [0, 0, 0] for value in wrong}
    for n in range(1800):
        value = "abc"[n % 3]
        agrees = bool(rng.random() > wrong[value])
        rows.append(comparison(n, agreement=agrees, **of(s=value)))
        tally[value][0] += 1
        tally[value][1] += not agrees
    bad = [error(n, **of(s="a")) for n in range(1800, 1805)]
    tally["a"][2] += 5
    found = groups(looked(tmp_path, rows, bad).found[0])

    whole = np.sum([*tally.values()], axis=0)
    raw = []
    for compared, disagree, _ in tally.values():
        rest = whole[:2] - (compared, disagree)
        raw.append(proportions_ztest([disagree, rest[1]], [compared, rest[0]])[1])
    for compared, _, errored in tally.values():
        inside = (errored, compared)
        beside = (whole[2] - errored, whole[0] - compared)
        raw.append(fisher_exact([inside, beside])[1])
    expected = multipletests(raw, method="holm")[1]
    assert [found[value].agreement_p for value in tally] == pytest.approx(expected[:3], rel=1e-6)
    assert [found[value].errors_p for value in tally] == pytest.approx(expected[3:], rel=1e-6)


def test_small_groups_are_marked_and_not_tested(tmp_path: Path) -> None:
    """A group of 99 requests is listed, marked, without a p-value; one of 100 is tested."""
    rows = [comparison(n, **of(s="big" if n < 100 else "small")) for n in range(199)]
    found = groups(looked(tmp_path, rows).found[0])
    assert (found["small"].is_small, found["small"].agreement_p) == (True, None)
    assert (found["big"].is_small, found["big"].agreement_p) == (False, 1.0)


def test_correctness_of_each_group(tmp_path: Path) -> None:
    """Where labels are, each group tells how often either was right, and how often just one was."""
    rows = [
        comparison(
            n,
            primary_label="a",
            shadow_label="b" if n % 3 else "a",
            agreement=n % 3 == 0,
            **of(s="x" if n < 150 else "y"),
        )
        for n in range(300)
    ]
    found = looked(tmp_path, rows, labels={n: "a" if n < 150 or n % 2 else "b" for n in range(290)})
    x, y = groups(found.found[0])["x"], groups(found.found[0])["y"]
    assert x.primary_correct is not None
    assert x.shadow_correct is not None
    assert (x.primary_correct.part, x.primary_correct.whole, x.shadow_correct.part) == (150, 150, 50)
    assert (x.only_primary_correct, x.only_shadow_correct) == (100, 0)
    assert x.correct_p == pytest.approx(4 * 2 * 0.5**100, rel=1e-6)  # of x and y, agreement and correctness
    assert y.primary_correct is not None
    assert y.primary_correct.whole == 140


def test_the_rarer_names_and_values_are_counted(tmp_path: Path) -> None:
    """Of 25 names 20 are looked at, of 60 values 50; what is cut is said and added up."""
    many = [("many", f"v{n:02}") for n in range(60)]
    rows = [comparison(n, segments=[many[n % 60]]) for n in range(130)]
    rows += [comparison(200 + n, segments=[(f"rare{n:02}", "x")]) for n in range(24)]
    found = looked(tmp_path, rows)
    assert len(found.found) == 20
    assert found.notes == (
        "5 segments beyond the 20 most frequent ones not looked at; ask for one by its name.",
    )
    segment = found.found[0]
    assert (segment.name, segment.values, len(segment.groups)) == ("many", 60, 51)
    assert segment.other is not None
    assert segment.other.requests == 20
    assert segment.note.startswith("50 of 60 values are shown")
    assert sum(group.requests for group in segment.groups) + 20 == len(rows)


def test_a_name_beyond_the_most_frequent_can_be_asked_for(tmp_path: Path) -> None:
    """A segment too rare to be looked at unasked is counted when it is named."""
    rows = [comparison(n, segments=[(f"s{n % 25:02}", str(n % 2))]) for n in range(250)]
    [asked] = looked(tmp_path, rows, by=["s24"]).asked
    assert {value: group.requests for value, group in groups(asked).items()} == {"0": 5, "1": 5, None: 240}


def test_no_rows_and_no_segments(tmp_path: Path) -> None:
    """An empty lake has no segments, a name asked for has no groups; nor have rows without segments."""
    empty = looked(tmp_path / "empty", [], by=["country"])
    assert (empty.found, empty.standouts, empty.notes) == ((), (), ())
    assert empty.asked[0].groups == ()
    bare = looked(tmp_path / "bare", [comparison(1), comparison(2, segments=None)])
    assert (bare.found, bare.standouts) == ((), ())
    failed = looked(tmp_path / "failed", [], [error(n, **of(s="x")) for n in range(120)])
    assert [(g.requests, g.agreement_rate, g.error_rate) for g in failed.found[0].groups] == [
        (120, None, 1.0)
    ]


def test_values_that_are_no_numbers_leave_the_mean_alone(tmp_path: Path) -> None:
    """NaN, infinite and missing scores are in no mean difference; without any finite pair there is none."""
    pairs = [(0.5, 0.75), (float("nan"), 0.5), (0.5, float("inf")), (None, 0.1), (-1e308, 1e308)]
    rows = [
        comparison(n, primary_score=one, shadow_score=other, **of(s="x"))
        for n, (one, other) in enumerate(pairs)
    ]
    rows += [comparison(9, primary_score=None, shadow_score=None, **of(s="none"))]
    found = groups(looked(tmp_path, rows).found[0])
    assert found["x"].mean_difference == 0.25
    assert found["none"].mean_difference is None


def test_names_from_data_stay_what_they_are(tmp_path: Path) -> None:
    """Quotes, newlines, terminal escapes, nothing at all: names and values are taken letter for letter."""
    odd = ["it's", 'a "b"', "line\nbreak", "\x1b[31mred", "", "$name", "x'; DROP TABLE compared; --", "漢字"]
    rows = [comparison(n, segments=[(each, each)]) for n, each in enumerate(odd * 3)]
    found = looked(tmp_path, rows, by=odd)
    assert sorted(each.name for each in found.found) == sorted(odd)
    for segment in (*found.asked, *found.found):
        assert {value: group.requests for value, group in groups(segment).items()} == {
            segment.name: 3,
            None: len(rows) - 3,
        }


@pytest.mark.parametrize("seed", [1, 2])
def test_too_many_cohorts_are_counted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """With a user's id among the segments, the frequent values have the same figures as without it."""
    rng = np.random.default_rng(seed)
    rows = [
        comparison(
            n,
            agreement=bool(rng.random() > 0.2),
            **of(country="DE" if rng.random() < 0.6 else "BR", device="ios" if rng.random() < 0.3 else "web"),
        )
        for n in range(600)
    ]
    plain = looked(tmp_path / "plain", rows)
    monkeypatch.setattr(_cohorts, "_MOST_COHORTS", 100)
    for n, row in enumerate(rows):
        user = f"u{n}" if n % 3 else "robot"
        row["segments"] = [("user", user), *row["segments"]]
    land(tmp_path / "users", rows)
    found, cut = read(tmp_path / "users")
    assert cut.sampled == 600
    by_name = {each.name: each for each in found.found}
    for segment in plain.found:
        with_users = groups(by_name[segment.name])
        for group in segment.groups:
            assert (with_users[group.value].requests, with_users[group.value].agreement_rate) == (
                group.requests,
                group.agreement_rate,
            )
    assert groups(by_name["user"])["robot"].requests == 200
    assert "Too many different" in by_name["user"].note
    [asked] = read(tmp_path / "users", by=["user"])[0].asked
    assert (asked.values, len(asked.groups)) == (401, 50)
    assert asked.other is not None
    assert asked.other.requests == 351
    assert asked.other.agreement_p == 1.0


def test_many_segments_are_counted_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that would multiply too far are counted apart, exactly; that some were not crossed is said."""
    rng = np.random.default_rng(3)
    names = [f"s{n}" for n in range(8)]
    rows = [
        comparison(n, segments=[(name, str(rng.integers(4))) for name in names], agreement=n % 2 == 0)
        for n in range(500)
    ]
    plain = looked(tmp_path, rows)
    monkeypatch.setattr(_cohorts, "_MOST_COHORTS", 60)
    found, cut = read(tmp_path)
    assert 1 < len(cut.blocks) <= 8
    assert [len(each.groups) for each in found.found] == [len(each.groups) for each in plain.found]
    for one, other in zip(found.found, plain.found, strict=True):
        assert {g.value: (g.requests, g.agreement_rate) for g in one.groups} == {
            g.value: (g.requests, g.agreement_rate) for g in other.groups
        }
    assert found.notes == ("The segments have too many combinations: not every two of them were crossed.",)


def test_pairs_that_are_not_crossed_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where adding up every two segments would take too long, it is said that some were left out."""
    rows = [comparison(n, **of(a=str(n % 2), b=str(n % 3), c=str(n % 5))) for n in range(300)]
    assert looked(tmp_path, rows).notes == ()
    monkeypatch.setattr(_groups, "_MOST_ADDITIONS", 1)
    [note] = read(tmp_path)[0].notes
    assert "not every two of them were crossed" in note


def test_a_sample_that_promised_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first rows of the files are alike and the others are not, memory is bounded all the same."""
    rows = [comparison(n, **of(user="one" if n < 200 else f"u{n}", plan="pro")) for n in range(1000)]
    monkeypatch.setattr(_cohorts, "_MOST_COHORTS", 100)
    monkeypatch.setattr(_cohorts, "_MOST_ROWS", 400)
    monkeypatch.setattr(_cohorts, "_SAMPLE", 150)
    land(tmp_path, rows)
    found, cut = read(tmp_path)
    assert cut.sampled == 300
    by_name = {each.name: each for each in found.found}
    assert groups(by_name["user"])["one"].requests == 200
    assert by_name["user"].other is not None
    assert sum(each.requests for each in by_name["user"].groups) + by_name["user"].other.requests == 1000
    assert groups(by_name["plan"])["pro"].requests == 1000


def test_a_sample_without_any_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where segments came into use in the midst of a file, those of the later requests are found."""
    later = [comparison(n, **of(user=f"u{n}", plan="pro")) for n in range(200, 1000)]
    monkeypatch.setattr(_cohorts, "_MOST_COHORTS", 100)
    monkeypatch.setattr(_cohorts, "_MOST_ROWS", 400)
    monkeypatch.setattr(_cohorts, "_SAMPLE", 150)
    land(tmp_path, [*(comparison(n) for n in range(200)), *later])
    found, _ = read(tmp_path)
    by_name = {each.name: each for each in found.found}
    assert (groups(by_name["plan"])["pro"].requests, groups(by_name["plan"])[None].requests) == (800, 200)
    assert by_name["user"].other is not None


def test_more_is_told_of_a_segment_asked_for(tmp_path: Path) -> None:
    """Percentiles of both models, timed alone, and the distance of the scores, over the report's bins."""
    rng = np.random.default_rng(7)
    primary, shadow = rng.random(400), rng.random(400) ** 2
    ms = rng.lognormal(2, 1, (2, 400))
    rows = [
        comparison(
            n,
            primary_score=primary[n],
            shadow_score=shadow[n],
            primary_latency_ms=ms[0, n],
            shadow_latency_ms=ms[1, n] if n % 10 else float("nan"),
            latency_basis="warmup" if n >= 380 else "single",
            **of(s="x" if n % 2 else "y"),
        )
        for n in range(400)
    ]
    [segment] = looked(tmp_path, rows, by=["s"]).asked
    x = groups(segment)["x"]
    mine = np.arange(400) % 2 == 1
    timed = mine & (np.arange(400) < 380)
    assert (x.primary_p50_ms, x.primary_p99_ms) == pytest.approx(
        tuple(np.quantile(ms[0, timed], [0.5, 0.99]))
    )
    assert (x.shadow_p50_ms, x.shadow_p99_ms) == pytest.approx(tuple(np.quantile(ms[1, timed], [0.5, 0.99])))
    counts = [np.histogram(scores[mine], EDGES)[0] for scores in (primary, shadow)]
    assert x.distance == pytest.approx(jensenshannon(*counts), abs=1e-9)


def test_an_unknown_segment_names_those_there_are(tmp_path: Path) -> None:
    """A misspelt name is refused, with the names that are known."""
    with pytest.raises(SettingsError, match="no request has a segment 'contry'; known are: country, plan"):
        looked(tmp_path, [comparison(1, **of(country="DE", plan="pro"))], by=["contry"])


def features(**changes: Any) -> dict[str, Any]:
    """A row's features, of which only these have anything."""
    names = ("numbers", "integers", "flags", "strings", "vectors", "json", "missing")
    return {"features": {name: [] for name in names} | changes}


def test_a_number_is_broken_down_by_quartiles(tmp_path: Path) -> None:
    """The requests are cut at a feature's quartiles; NaN, and requests without it, are groups too."""
    rows = [
        comparison(n, agreement=n <= 75, **features(numbers=[("amount", float(n))])) for n in range(1, 101)
    ]
    rows += [comparison(n, **features(numbers=[("amount", float("nan"))])) for n in range(101, 104)]
    rows += [comparison(n, **features()) for n in range(104, 106)]
    [segment] = looked(tmp_path, rows, [error(200)], by=["feature:amount"]).asked
    assert {value: (group.requests, group.agreement_rate) for value, group in groups(segment).items()} == {
        "up to 25": (25, 1.0),
        "over 25, up to 50": (25, 1.0),
        "over 50, up to 75": (25, 1.0),
        "over 75": (25, 0.0),
        "not finite": (3, 1.0),
        None: (2, 1.0),
    }
    assert segment.note == "Errors carry no features: they are in none of these groups."


def test_flags_texts_and_few_numbers_are_broken_down_by_value(tmp_path: Path) -> None:
    """A flag, a text, and a number that is one of a few, have a group for each value."""
    rows = [
        comparison(
            n,
            **features(
                flags=[("new", n % 2 == 0)], strings=[("shop", "ab"[n % 2])], integers=[("items", n % 3)]
            ),
        )
        for n in range(60)
    ]
    found = looked(tmp_path, rows, by=["feature:new", "feature:shop", "feature:items"]).asked
    assert [{value: group.requests for value, group in groups(each).items()} for each in found] == [
        {"true": 30, "false": 30},
        {"a": 30, "b": 30},
        {"0": 20, "1": 20, "2": 20},
    ]


def test_features_of_disagreements_alone_are_refused(tmp_path: Path) -> None:
    """Where only disagreements carry features, no rate by one is true: it says so, and the way out."""
    rows = [
        comparison(n, agreement=n % 2 == 0, **features(numbers=[("a", 1.0)]) if n % 2 else {})
        for n in range(100)
    ]
    with pytest.raises(
        SettingsError, match=r"features of only 50 of 100 compared requests are known.*--keep-feat"
    ):
        looked(tmp_path, rows, by=["feature:a"])


def test_the_archive_has_the_features_of_all(tmp_path: Path) -> None:
    """With the archive of requests, agreements and errors are broken down by a feature as well."""
    rows = [comparison(n, agreement=n % 4 != 0) for n in range(80)]
    archived = [
        {
            "request_id": f"r{n}",
            "event_time": NOON,
            "landed_topic": "production-requests",
            "landed_partition": n % 4,
            "landed_offset": n // 4,
            "model": "ranker",
            "date": NOON.date(),
            **features(strings=[("shop", "even" if n % 2 == 0 else "odd")]),
        }
        for n in range(100)
    ]
    [segment] = looked(
        tmp_path,
        rows,
        [error(n) for n in range(80, 100)],
        by=["feature:shop"],
        requests=[*archived, *archived[:40]],  # some were archived again
    ).asked
    found = groups(segment)
    assert {value: (g.compared, g.agreement_rate, g.errored) for value, g in found.items()} == {
        "even": (40, 0.5, 10),
        "odd": (40, 1.0, 10),
    }


def test_a_feature_that_no_request_has(tmp_path: Path) -> None:
    """A misspelt feature is refused."""
    rows = [comparison(n, **features(numbers=[("amount", 1.0)])) for n in range(3)]
    with pytest.raises(SettingsError, match="no request has a feature 'amuont'"):
        looked(tmp_path, rows, by=["feature:amuont"])
