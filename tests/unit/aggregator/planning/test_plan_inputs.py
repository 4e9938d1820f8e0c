"""What a plan is made from: wrong values are named, with the nearest right one."""

from __future__ import annotations

import pytest

from shadowlane.aggregator.planning import Inputs, Segment, make_plan
from shadowlane.errors import SettingsError
from unit.aggregator.planning.plans import ITALY, inputs

WRONG: list[tuple[dict[str, object], str]] = [
    ({"sampling": 5}, "sampling = 5: a number above 0, at most 1 is wanted; did you mean 0.05?"),
    ({"sampling": 1.5}, "did you mean 0.015?"),
    ({"sampling": 700}, "did you mean 1?"),
    ({"sampling": float("nan")}, "sampling = nan: a number above 0, at most 1 is wanted"),
    ({"rate": 95}, "rate = 95: a number from 0 to 1 is wanted; did you mean 0.95?"),
    ({"rate": -0.1}, "did you mean 0?"),
    ({"level": 95}, "did you mean 0.95?"),
    ({"level": 1}, "did you mean 0.999999?"),
    ({"power": 0.2}, "power = 0.2: a number from 0.5 to 0.9999 is wanted; did you mean 0.5?"),
    ({"difference": 0}, "did you mean 1e-06?"),
    ({"difference": True}, "difference = True: a number from 1e-06 to 1 is wanted; did you mean 0.01?"),
    ({"min_requests": 0.5}, "a whole number from 1 to 1,000,000,000,000 is wanted; did you mean 1?"),
    ({"min_requests": 100.2}, "did you mean 101?"),
    ({"cycle_days": 0}, "did you mean 1?"),
    ({"requests_per_second": -3}, "requests_per_second = -3: a number above 0"),
    ({"requests_per_second": "many"}, "requests_per_second = 'many': a number above 0"),
    ({"design_effect": 0.5}, "did you mean 1?"),
    ({"cost_per_1000": -1}, "did you mean 0?"),
    ({"budget": 0}, "budget = 0: a number above 0"),
    ({"replication": 0}, "did you mean 1?"),
    ({"sampeling": 0.1}, "there is no value 'sampeling' in a plan"),
    ({"metric": "speed"}, "metric = 'speed': agreement, errors or correctness is wanted"),
    ({"metric": "agreemnt"}, "did you mean agreement?"),
    ({"difference": 0.3, "rate": 0.2}, "difference = 0.3: at most 0.2 is possible, as agreement is 0.2"),
    (
        {"metric": "errors", "rate": 0.9, "difference": 0.2},
        "at most 0.1 is possible, as the error rate is 0.9",
    ),
    (
        {"metric": "correctness", "discordance": 0.02, "difference": 0.03},
        "at most 0.02 is possible, as just one of the two is right on 0.02 of the requests",
    ),
    ({"segment_difference": 0.96}, "segment_difference = 0.96: at most 0.95 is possible"),
    ({"segments": (ITALY, ITALY)}, "segment country=IT is there twice"),
]


@pytest.mark.parametrize(("values", "words"), WRONG)
def test_a_wrong_value_is_named_with_the_nearest_right_one(values: dict[str, object], words: str) -> None:
    """The error says which value it is, what is wanted, and what was probably meant."""
    with pytest.raises(SettingsError) as caught:
        inputs(**values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "share", "sampling", "words"),
    [
        ("country", 0.1, None, "segment 'country': a name and its value are wanted, such as country=IT"),
        ("=IT", 0.1, None, "a name and its value"),
        ("country=", 0.1, None, "a name and its value"),
        ("country=IT", 0, None, "the share of segment country=IT = 0: a number above 0, at most 1"),
        ("country=IT", 12, None, "did you mean 0.12?"),
        ("country=IT", 0.1, 50, "the sampling of segment country=IT = 50"),
        ("a=\x1b[31mred", 2.5, None, r"the share of segment a=\x1b[31mred"),
    ],
)
def test_a_wrong_segment_is_named(name: str, share: float, sampling: float | None, words: str) -> None:
    """A segment is name=value, with a share; control characters in it are written out."""
    with pytest.raises(SettingsError) as caught:
        Segment(name, share, sampling)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_the_traffic_must_be_known() -> None:
    """Without requests a second the error says how to give them."""
    with pytest.raises(SettingsError, match="give --requests-per-second, or --from-lake"):
        Inputs.of({"sampling": 0.5})


def test_a_budget_needs_a_price() -> None:
    """What cannot be computed is asked for."""
    with pytest.raises(SettingsError, match="give --cost-per-1000, or --cpu-ms"):
        make_plan(inputs(budget=5))


def test_options_count_before_the_lake_and_that_before_defaults() -> None:
    """Each value says where it comes from."""
    mixed = Inputs.of({"sampling": 0.2, "power": None}, {"requests_per_second": 5.0, "sampling": 0.1})
    assert (mixed.traffic.sampling, mixed.traffic.requests_per_second, mixed.aim.power) == (0.2, 5.0, 0.8)
    assert mixed.sources == {"sampling": "option", "requests_per_second": "lake"}
