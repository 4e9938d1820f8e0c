from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pytest

from shadowlane.aggregator import Scope
from shadowlane.aggregator.report import _shared_sample
from shadowlane.aggregator.report._errors import error_clusters
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._shared import Count, disagreement_rules, lift_interval, slow_tail_rules
from shadowlane.lake import COMPARISONS, ERRORS, LEDGER, REQUESTS, OpenLake, read_lake
from unit.aggregator.report_lake import Row, append, comparison, error, land

SCOPE = Scope("ranker", "challenger")
TABLES = (COMPARISONS, ERRORS, LEDGER, REQUESTS)

Seen = TypeVar("Seen")


def read(lake: Path, look: Callable[[OpenLake], Seen]) -> Seen:
    """What a section makes of the lake."""

    def looked(opened: OpenLake) -> Seen:
        load(opened, SCOPE)
        return look(opened)

    return read_lake(lake, SCOPE, TABLES, looked)


def features(**named: Any) -> dict[str, Any]:
    """The features of a request as the lake has them; None is missing."""
    found: dict[str, list[Any]] = {
        kind: [] for kind in ("numbers", "integers", "flags", "strings", "vectors", "json", "missing")
    }
    kinds = {float: "numbers", int: "integers", bool: "flags", str: "strings", list: "vectors"}
    for name, value in named.items():
        if value is None:
            found["missing"].append(name)
        else:
            found[kinds[type(value)]].append((name, value))
    return found


def archived(n: int, **changes: Any) -> Row:
    """The n-th request as the archive has it."""
    row = comparison(n)
    kept = {name: row[name] for name in ("request_id", "event_time", "model_version", "model", "date")}
    place = {
        "landed_topic": row["source_topic"],
        "landed_partition": row["source_partition"],
        "landed_offset": row["source_offset"],
    }
    return {**kept, **place, "has_prediction": False, **changes}


def archive(lake: Path, rows: list[Row]) -> None:
    """Put the requests into the archive."""
    append(lake, REQUESTS, pa.Table.from_pylist(rows, schema=REQUESTS.schema))


def segmented(n: int) -> list[tuple[str, str]]:
    """A country and a device, in turn."""
    return [("country", ("DE", "FR", "BR", "US")[n % 4]), ("device", ("phone", "desk")[n // 4 % 2])]


def test_a_segment_that_disagrees_is_named_with_its_figures(tmp_path: Path) -> None:
    """All of BR's requests disagree, and two others: one rule, counted exactly."""
    lake = land(
        tmp_path,
        [comparison(n, segments=segmented(n), agreement=n % 4 != 2 and n not in (1, 5)) for n in range(400)],
    )
    found = read(lake, disagreement_rules)
    [rule] = found.rules
    assert rule.text == "country = BR"
    assert rule.terms == ({"field": "country", "of": "segment", "operator": "=", "value": "BR"},)
    assert (rule.requests, rule.hits, found.sought, found.among, found.uncovered) == (100, 100, 102, 400, 2)
    assert rule.share == pytest.approx(100 / 102)
    assert rule.lift == pytest.approx(400 / 102)
    assert rule.p_value < 1e-60
    assert rule.examples == ("r2", "r6", "r10")
    assert "country" in found.fields
    assert "--keep-features all" in found.note


def test_features_are_looked_at_where_every_comparison_carries_them(tmp_path: Path) -> None:
    """A planted conjunction of a segment and a feature's threshold is found, and the note is empty."""
    rng = np.random.default_rng(1)
    amounts = rng.lognormal(6, 1, 3000)
    rows = [
        comparison(
            n,
            segments=segmented(n),
            features=features(amount=float(amounts[n]), age=int(n % 71), new=bool(n % 3), plan="abc"[n % 3]),
            agreement=not (n % 4 == 2 and amounts[n] > 500),
        )
        for n in range(3000)
    ]
    found = read(land(tmp_path, rows), disagreement_rules)
    [rule] = found.rules
    assert rule.text.startswith("country = BR and amount > ")
    assert 480 < float(str(rule.terms[1]["value"])) < 520
    assert (rule.hits, found.uncovered, found.note) == (rule.requests, 0, "")
    assert {"amount", "age", "new", "plan", "country"} <= {*found.fields}


def test_features_of_disagreements_alone_are_no_reason(tmp_path: Path) -> None:
    """By default only disagreements carry features: they are not set against agreements that lack them."""
    rows = [
        comparison(n, agreement=n % 5 > 0, features=features(amount=1.0 + n) if n % 5 == 0 else None)
        for n in range(500)
    ]
    found = read(land(tmp_path, rows), disagreement_rules)
    assert found.rules == ()
    assert found.uncovered == found.sought == 100
    assert "not every request carries them" in found.note


def test_features_come_from_the_archive_where_it_has_the_requests(tmp_path: Path) -> None:
    """Comparisons without features are joined with the archive by their places."""
    lake = land(tmp_path, [comparison(n, agreement=n % 50 >= 7) for n in range(1000)])
    archive(tmp_path, [archived(n, features=features(slot=n % 50, other=n % 7)) for n in range(1000)])
    found = read(lake, disagreement_rules)
    assert [rule.text for rule in found.rules] == ["slot < 7"]
    assert (found.rules[0].requests, found.rules[0].hits, found.note) == (140, 140, "")


def test_an_archive_of_a_part_is_not_looked_at(tmp_path: Path) -> None:
    """Where the archive holds only half of the requests, rules do without features, and the note says so."""
    lake = land(tmp_path, [comparison(n, agreement=n % 50 >= 7) for n in range(1000)])
    archive(tmp_path, [archived(n, features=features(slot=n % 50)) for n in range(500)])
    found = read(lake, disagreement_rules)
    assert found.rules == ()
    assert "the archive holds 50% of these requests" in found.note


@pytest.mark.parametrize("in_archive", [False, True])
def test_counts_of_a_sample_are_counts_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_archive: bool
) -> None:
    """Rules found among a tenth of the rows are counted over all of them."""
    monkeypatch.setattr(_shared_sample, "_MOST_ROWS", 400)
    told = [
        features(amount=float(n % 97), level=n % 5, vip=n % 2 == 0, history=None if n % 11 == 0 else 1.0)
        for n in range(4000)
    ]
    wrong = [n % 97 >= 90 or n % 11 == 0 or (n % 5 == 3 and n % 2 == 0) for n in range(4000)]
    lake = land(
        tmp_path,
        [
            comparison(
                n, agreement=not wrong[n], segments=segmented(n), features=None if in_archive else told[n]
            )
            for n in range(4000)
        ],
    )
    if in_archive:
        archive(lake, [archived(n, features=told[n]) for n in range(4000)])
    found = read(lake, disagreement_rules)
    by_text = {rule.text: rule for rule in found.rules}
    assert {"history is missing", "amount > 89"} <= by_text.keys()
    assert len(found.rules) == 3
    assert (by_text["history is missing"].requests, by_text["history is missing"].hits) == (364, 364)
    above = sum(n % 97 >= 90 for n in range(4000))
    assert (by_text["amount > 89"].requests, by_text["amount > 89"].hits) == (above, above)
    assert (found.sought, found.among, found.uncovered) == (sum(wrong), 4000, 0)


def test_an_absent_feature_is_named(tmp_path: Path) -> None:
    """A feature that is in no map of a request and not given as null either is absent."""
    rows = [
        comparison(
            n,
            features=features(a=1.0, history=2.0) if n % 12 else features(a=1.0),
            agreement=bool(n % 12),
        )
        for n in range(600)
    ]
    found = read(land(tmp_path, rows), disagreement_rules)
    assert [rule.text for rule in found.rules] == ["history is absent"]


def test_the_classic_is_found_by_missing_features(tmp_path: Path) -> None:
    """A KeyError for the users without history: `history is missing`, by what errors carry."""
    lake = land(
        tmp_path,
        [comparison(n, segments=segmented(n)) for n in range(1000) if n % 12],
        [
            error(n, segments=segmented(n), missing_features=["history"], message="'history'")
            for n in range(1000)
            if n % 12 == 0
        ],
    )
    [cluster] = read(lake, lambda opened: error_clusters(opened, 1000))
    assert (cluster.stage, cluster.error_type, cluster.shape) == ("predict", "KeyError", "'history'")
    assert (cluster.rate.part, cluster.rate.whole) == (84, 1000)
    assert cluster.examples == ("r0", "r12", "r24")
    assert cluster.rules is not None
    [rule] = cluster.rules.rules
    assert (rule.text, rule.requests, rule.hits) == ("history is missing", 84, 84)


def test_the_classic_is_found_in_the_archive(tmp_path: Path) -> None:
    """Errors carry no features; where the archive has them, a key that is not there is named as absent."""
    lake = land(
        tmp_path,
        [comparison(n) for n in range(1000) if n % 12],
        [error(n) for n in range(1000) if n % 12 == 0],
    )
    given = [features(a=1.0, history=3.0) if n % 12 else features(a=1.0) for n in range(1000)]
    archive(lake, [archived(n, features=given[n]) for n in range(1000)])
    [cluster] = read(lake, lambda opened: error_clusters(opened, 1000))
    assert cluster.rules is not None
    assert [rule.text for rule in cluster.rules.rules] == ["history is absent"]


def test_the_classic_without_any_features_says_what_its_message_names(tmp_path: Path) -> None:
    """Where no features can be set side by side, the note tells that the message names one."""
    lake = land(
        tmp_path,
        [
            comparison(n, agreement=n % 3 > 0, features=None if n % 3 else features(a=1.0, history=3.0))
            for n in range(1000)
            if n % 12
        ],
        [error(n) for n in range(1000) if n % 12 == 0],
    )
    [cluster] = read(lake, lambda opened: error_clusters(opened, 1000))
    assert cluster.rules is not None
    assert cluster.rules.rules == ()
    assert "names history, a feature" in cluster.rules.note


def test_messages_are_clustered_by_shape(tmp_path: Path) -> None:
    """Few quoted names are told apart, many are one cluster; numbers always are one."""
    lake = land(
        tmp_path,
        [comparison(n) for n in range(100, 400)],
        [
            *(error(n, message="'history'" if n % 2 else "'age'") for n in range(40)),
            *(
                error(n, error_type="ValueError", message=f"no such id '{'abcdefghijklmnopqrst'[n - 40]}'")
                for n in range(40, 60)
            ),
            *(error(n, stage="timeout", error_type="Timeout", message=f"{n} ms") for n in range(60, 65)),
        ],
    )
    clusters = read(lake, lambda opened: error_clusters(opened, 365))
    assert [(each.error_type, each.shape, each.rate.part) for each in clusters] == [
        ("KeyError", "'age'", 20),
        ("KeyError", "'history'", 20),
        ("ValueError", "no such id '…'", 20),
        ("Timeout", "# ms", 5),
    ]


def test_other_errors_do_not_colour_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All errors of one kind are drawn and few comparisons: another cluster's cause is none of this one's."""
    monkeypatch.setattr(_shared_sample, "_MOST_ROWS", 300)
    rng = np.random.default_rng(0)
    country = rng.choice(["DE", "FR", "BR", "US"], 6000)
    lake = land(
        tmp_path,
        [
            comparison(n, segments=[("country", country[n])])
            for n in range(6000)
            if n % 20 and country[n] != "BR"
        ],
        [
            error(n, segments=[("country", country[n])], error_type="ValueError" if n % 20 else "Timeout")
            for n in range(6000)
            if not n % 20 or country[n] == "BR"
        ],
    )
    clusters = read(lake, lambda opened: error_clusters(opened, 6000))
    named = {each.error_type: each.rules.rules for each in clusters if each.rules}
    assert [rule.text for rule in named["ValueError"]] == ["country = BR"]
    assert named["Timeout"] == ()


def test_the_slow_tail_is_told_apart(tmp_path: Path) -> None:
    """The requests that took the shadow long, of those timed alone."""
    rows = [
        comparison(n, segments=segmented(n), shadow_latency_ms=900.0 if n % 8 == 1 else 20.0)
        for n in range(400)
    ]
    rows += [comparison(n, shadow_latency_ms=900.0, latency_basis="amortized") for n in range(400, 500)]
    found = read(land(tmp_path, rows), lambda opened: slow_tail_rules(opened, "single", 200.0))
    assert [rule.text for rule in found.rules] == ["country = FR and device = phone"]
    assert (found.sought, found.among) == (50, 400)


@pytest.mark.parametrize("agreement", [True, False])
def test_one_sided_or_empty_data_yields_no_rules(tmp_path: Path, *, agreement: bool) -> None:
    """All agree, all disagree, or there is nothing at all: no rule, and no error."""
    lake = land(tmp_path, [comparison(n, agreement=agreement, segments=segmented(n)) for n in range(30)])
    assert read(lake, disagreement_rules).rules == ()
    empty = read(land(tmp_path / "other", [comparison(1, shadow="another")]), disagreement_rules)
    assert (empty.rules, empty.sought, empty.among, empty.uncovered) == ((), 0, 0, 0)
    assert read(lake, lambda opened: error_clusters(opened, 30)) == ()


def test_names_and_values_cannot_act_on_a_screen(tmp_path: Path) -> None:
    """What comes from data is made visible in a rule's text, and stands as it is in its terms."""
    evil = "B\x1b[31m'R\" and x > 1"
    rows = [
        comparison(n, segments=[("the\ncountry", evil if n % 5 == 0 else "DE")], agreement=n % 5 > 0)
        for n in range(200)
    ]
    [rule] = read(land(tmp_path, rows), disagreement_rules).rules
    assert "\x1b" not in rule.text
    assert "\n" not in rule.text
    assert rule.terms[0]["value"] == evil


def test_the_lift_is_as_sure_as_the_relative_risk() -> None:
    """Katz's interval of the relative risk, worked out by hand, turned into a lift."""
    found = lift_interval(Count(100, 40), 60, 1000)
    assert found is not None
    ratio, half = (40 / 100) / (20 / 900), 1.959964 * np.sqrt(0.6 / 40 + (1 - 20 / 900) / 20)
    low, high = (each / (0.1 * each + 0.9) for each in (ratio * np.exp(-half), ratio * np.exp(half)))
    assert [found.low, found.high] == pytest.approx([low, high])
    assert lift_interval(Count(1000, 60), 60, 1000) is None
