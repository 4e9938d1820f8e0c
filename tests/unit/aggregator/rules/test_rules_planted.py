from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from shadowlane.aggregator.rules import (
    Categories,
    Column,
    Flags,
    FoundRule,
    Numbers,
    Term,
    find_rules,
    holds_for,
    taken,
    text_of,
)

ROWS = 20_000
COUNTRIES = ("BR", "DE", "FR", "IN", "US")
Bools = NDArray[np.bool_]


class Requests:
    """Requests with segments and features, from which targets are planted."""

    def __init__(self, seed: int, rows: int = ROWS) -> None:
        self.random = np.random.default_rng(seed)
        self.rows = rows
        self.country = self.random.choice(5, rows, p=[0.1, 0.3, 0.2, 0.1, 0.3])
        self.device = self.random.choice(2, rows)
        self.amount = self.random.lognormal(5.5, 1, rows)
        self.age = self.random.integers(18, 90, rows).astype(float)
        self.history = self.random.random(rows) < 0.08
        self.noise = [self.random.normal(size=rows) for _ in range(8)]

    @property
    def columns(self) -> list[Column]:
        """All of them, as rules are sought in them."""
        return [
            Categories("country", self.country.astype(np.int32), COUNTRIES, "segment"),
            Categories("device", self.device.astype(np.int32), ("desk", "phone"), "segment"),
            Numbers("amount", self.amount, "feature"),
            Numbers("age", self.age, "feature"),
            *(Numbers(f"x{place}", values, "feature") for place, values in enumerate(self.noise)),
            Flags("history", self.history, "missing", "feature"),
        ]

    def mostly(self, cause: Bools, rate: float = 0.8, otherwise: float = 0.02) -> Bools:
        """A target that is so for most of the requests of a cause, and for few others."""
        return np.asarray(self.random.random(self.rows) < np.where(cause, rate, otherwise))


def texts(columns: Sequence[Column], sought: Bools) -> list[str]:
    """The rules found, in words."""
    return [text_of(rule.terms) for rule in find_rules(columns, sought)]


Cause = Callable[[Requests], Bools]
PLANTED: list[tuple[Cause, str]] = [
    (lambda made: made.country == 0, "country = BR"),
    (lambda made: made.history, "history is missing"),
    (lambda made: made.age > 64, "age > 64"),
    (lambda made: made.age < 25, "age < 25"),
    (lambda made: made.age == 40, "age = 40"),
    (lambda made: (made.country == 0) & (made.device == 1), "country = BR and device = phone"),
    (lambda made: made.history & (made.age > 64), "age > 64 and history is missing"),
    (
        lambda made: (made.country == 4) & (made.device == 1) & (made.age < 30),
        "country = US and device = phone and age < 30",
    ),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("cause", "text"), PLANTED, ids=[text for _, text in PLANTED])
def test_a_planted_cause_is_named_and_nothing_else(cause: Cause, text: str, seed: int) -> None:
    """One rule, in the words that it was planted in."""
    made = Requests(seed)
    assert texts(made.columns, made.mostly(cause(made))) == [text]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.3, 0.8, 1.0])
def test_a_threshold_among_many_values_is_found_close_by_and_round(seed: int, rate: float) -> None:
    """`amount > 500`, to within a percent, and in at most four digits."""
    made = Requests(seed)
    [rule] = find_rules(made.columns, made.mostly(made.amount > 500, rate))
    [term] = rule.terms
    assert (term.field, term.operator) == ("amount", ">")
    assert isinstance(term.value, float)
    assert term.value == pytest.approx(500, rel=0.02)
    assert len(f"{term.value:g}") <= 5


def test_a_conjunction_with_a_threshold_is_found() -> None:
    """`country = BR and amount > 500`: neither half alone, and the threshold is that of both together."""
    made = Requests(1)
    [rule] = find_rules(made.columns, made.mostly((made.country == 0) & (made.amount > 500)))
    category, threshold = rule.terms
    assert str(category) == "country = BR"
    assert (threshold.field, threshold.operator) == ("amount", ">")
    assert threshold.value == pytest.approx(500, rel=0.05)


def test_a_range_is_found_with_both_ends() -> None:
    """`amount between 100 and 120`."""
    made = Requests(2)
    [rule] = find_rules(made.columns, made.mostly((made.amount >= 100) & (made.amount <= 120)))
    [term] = rule.terms
    assert (term.field, term.operator) == ("amount", "between")
    assert isinstance(term.value, tuple)
    assert [*term.value] == pytest.approx([100, 120], rel=0.02)


def test_two_causes_are_two_rules_the_larger_first() -> None:
    """What one rule explains is set aside, and the rest explained by another."""
    made = Requests(3)
    assert texts(made.columns, made.mostly((made.country == 4) | (made.age < 25))) == [
        "country = US",
        "age < 25",
    ]


def test_a_rare_segment_with_all_of_the_errors_is_found() -> None:
    """0.5 % of the requests, all errors within: one rule, for all of them."""
    made = Requests(4)
    plan = np.where(made.random.random(ROWS) < 0.005, 1, 0).astype(np.int32)
    columns = [*made.columns, Categories("plan", plan, ("free", "trial"), "segment")]
    [rule] = find_rules(columns, plan == 1)
    assert text_of(rule.terms) == "plan = trial"
    assert rule.hits == rule.requests == int(plan.sum())


def test_a_rare_range_is_found() -> None:
    """All errors within 0.5 % of the requests, in the middle of a feature's values."""
    made = Requests(5)
    cause = (made.noise[3] > 0.5) & (made.noise[3] < 0.515)
    [rule] = find_rules(made.columns, cause)
    assert rule.terms[0].operator == "between"
    assert rule.hits == rule.requests == int(cause.sum())


@pytest.mark.parametrize("seed", range(3))
def test_of_correlated_decoys_the_true_cause_is_named(seed: int) -> None:
    """A language, a time zone and a latitude go with the country; only the country is the cause."""
    made = Requests(seed)
    is_br = made.country == 0
    language = np.where(made.random.random(ROWS) < 0.97, is_br, made.random.random(ROWS) < 0.1)
    region = is_br | (made.random.random(ROWS) < 0.05)
    latitude = np.where(is_br, -15.0, 45.0) + made.random.normal(size=ROWS) * 12
    decoys: list[Column] = [
        Numbers("latitude", latitude, "feature"),
        Categories("language", language.astype(np.int32), ("other", "pt"), "segment"),
        Categories("region", region.astype(np.int32), ("north", "south"), "segment"),
    ]
    assert texts([*decoys, *made.columns], made.mostly(is_br)) == ["country = BR"]


def test_a_text_that_is_not_there_is_a_reason() -> None:
    """`country is none`, for requests without the segment."""
    made = Requests(6)
    codes = np.where(made.country == 0, -1, made.country).astype(np.int32)
    columns: list[Column] = [Categories("country", codes, COUNTRIES, "segment"), *made.columns[1:]]
    assert texts(columns, made.mostly(codes == -1)) == ["country is none"]


def test_numbers_that_are_none_are_no_reason_and_infinities_are() -> None:
    """NaN is in no term over numbers; an infinite value is more than any other."""
    made = Requests(7)
    values = np.where(made.country == 0, np.inf, made.noise[0])
    values[made.country == 1] = np.nan
    columns: list[Column] = [Numbers("ratio", values, "feature"), *made.columns[1:]]
    assert texts([Numbers("ratio", values, "feature")], made.country == 1) == []
    [rule] = find_rules(columns, made.country == 0)
    assert rule.terms[0].operator == ">"
    assert rule.hits == rule.requests == int((made.country == 0).sum())


def test_very_many_values_are_tried_and_a_bad_one_is_found() -> None:
    """Among 3,000 customers the one whose requests fail."""
    made = Requests(8)
    customers = tuple(f"c{number:04}" for number in range(3000))
    codes = made.random.integers(0, 3000, ROWS).astype(np.int32)
    codes[:60] = 77
    columns = [*made.columns, Categories("customer", codes, customers, "segment")]
    assert texts(columns, made.mostly(codes == 77, 0.9, 0.001)) == ["customer = c0077"]


def test_nothing_is_found_in_noise() -> None:
    """200 targets that depend on nothing: a rule in at most 5 % of them."""
    found = 0
    for seed in range(200):
        made = Requests(seed, 1500)
        found += bool(find_rules(made.columns, made.random.random(1500) < (0.02, 0.1, 0.4, 0.8)[seed % 4]))
    assert found <= 10


def test_noise_beside_a_cause_adds_no_rule_and_no_term() -> None:
    """With one true cause, what is left is noise: no second rule, in 50 data sets."""
    found = [texts(Requests(seed, 4000).columns, _caused(seed)) for seed in range(50)]
    assert sum(each == ["device = phone"] for each in found) >= 49


def _caused(seed: int) -> Bools:
    made = Requests(seed, 4000)
    return made.mostly(made.device == 1, 0.5, 0.05)


def _same(first: Sequence[FoundRule], second: Sequence[FoundRule]) -> bool:
    told = [
        [(each.terms, each.requests, each.hits, each.p_value) for each in rules] for rules in (first, second)
    ]
    return told[0] == told[1]


def test_the_same_rows_yield_the_same_rules_in_any_order() -> None:
    """Nothing depends on chance, nor on the order of the rows."""
    made = Requests(9, 5000)
    sought = made.mostly((made.country == 0) & (made.amount > 300))
    order = made.random.permutation(5000)
    first = find_rules(made.columns, sought)
    assert first
    assert _same(first, find_rules(made.columns, sought))
    assert _same(first, find_rules([taken(column, order) for column in made.columns], sought[order]))


@pytest.mark.parametrize(("rows", "sought"), [(0, 0), (1, 0), (1, 1), (50, 4), (50, 50), (50, 0)], ids=str)
def test_too_little_to_tell_apart_yields_none(rows: int, sought: int) -> None:
    """No rows, one row, fewer than five sought, or all of them."""
    made = Requests(0, rows)
    assert find_rules(made.columns, np.arange(rows) < sought) == ()


def test_a_rule_holds_for_the_rows_that_its_words_say() -> None:
    """What is counted is what is written: the terms, read again, hold for the same rows."""
    made = Requests(10)
    [rule] = find_rules(made.columns, made.mostly((made.country == 0) & (made.amount < 120.5)))
    bound = rule.terms[1].value
    assert isinstance(bound, float)
    assert np.array_equal(rule.holds, (made.country == 0) & (made.amount < bound))
    assert np.array_equal(rule.holds, holds_for(rule.terms, made.columns))
    assert Term("amount", "<", bound, "feature") == rule.terms[1]
