"""Which requests are published."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.errors import SettingsError
from shadowlane.producer import Hook, Rates, Sampling, is_sampled, position
from shadowlane.producer._sampling import check_rate
from shadowlane.schemas import ProductionRequest
from strategies import moderate

Taken = Callable[[Hook], list[ProductionRequest]]
HookOf = Callable[[Sampling], Hook]

rates = st.floats(0, 1)
keys = st.text(max_size=20)
#: Few names and values, so that requests often are in a segment that has a rate.
names = st.sampled_from(["country", "tier"])
values = st.sampled_from(["BR", "gold", "", "1"])
segment_rates = st.dictionaries(st.builds("{}={}".format, names, values), rates)
segments = st.dictionaries(names, values)

#: Other languages' implementations are held to these: keep them.
VECTORS = {
    "": 0.8894159948913373,
    "user-1": 0.7764059241441004,
    "user-2": 0.8483186847808387,
    "Grüße 東京": 0.8513485323862987,
    "42": 0.45030764956967506,
    "a": 0.7913742705223815,
}
NO_RATES = [-1, 1.1, float("nan"), float("inf"), "10", "0.5", None, True, 1j, 10**400]


@pytest.fixture
def hook_of(still: None) -> HookOf:
    """A hook whose requests stay in its queue, with a sampling."""
    return lambda sampling: Hook(model="ranker", sampling=sampling)


@pytest.mark.parametrize(("key", "expected"), VECTORS.items())
def test_positions_are_what_they_were(key: str, expected: float) -> None:
    """A key's position never changes: not with Python's version, its hash seed or ours."""
    assert position(key) == expected


@moderate
@given(keys, rates, rates)
def test_rates_are_nested(key: str, one: float, other: float) -> None:
    """What a small rate publishes, a larger one publishes too."""
    low, high = sorted((one, other))
    assert is_sampled(key, high) or not is_sampled(key, low)


@moderate
@given(keys, segments, rates, segment_rates, rates, segment_rates)
def test_rates_by_segment_are_nested(
    key: str,
    within: dict[str, str],
    rate: float,
    by_segment: dict[str, float],
    other: float,
    more: dict[str, float],
) -> None:
    """Where no rate is lowered, each request that was published still is."""
    low = Rates(rate, by_segment)
    raised = {name: max(low.segments.get(name, 0.0), more.get(name, 0.0)) for name in by_segment | more}
    high = Rates(max(rate, other), raised)
    assert is_sampled(key, high.of(within)) or not is_sampled(key, low.of(within))


@moderate
@given(segments, rates, segment_rates)
def test_the_largest_rate_applies(within: dict[str, str], rate: float, by_segment: dict[str, float]) -> None:
    """A request's rate is the largest of the base rate and those of the segments that it is in."""
    there = [by_segment.get(f"{name}={value}", 0.0) for name, value in within.items()]
    assert Rates(rate, by_segment).of(within) == max([rate, *there])


@moderate
@given(keys)
def test_nothing_and_everything(key: str) -> None:
    """0 is never and 1 is always, whatever the key; each position is below 1."""
    assert not is_sampled(key, 0)
    assert is_sampled(key, 1)
    assert 0 <= position(key) < 1


@moderate
@given(keys)
def test_a_rate_at_the_position_itself(key: str) -> None:
    """The bound is exact: a key is sampled at any rate above its position, and not at its position."""
    where = position(key)
    assert not is_sampled(key, where)
    assert is_sampled(key, where + 2**-53)


@pytest.mark.parametrize("rate", [0.0001, 0.05, 0.25, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    """Of many keys the share published is the rate, within five standard errors."""
    n = 200_000
    share = sum(is_sampled(f"user-{number}", rate) for number in range(n)) / n
    assert abs(share - rate) < 5 * (rate * (1 - rate) / n) ** 0.5


@pytest.mark.parametrize("rate", [0, 1, 0.0, 1.0, 0.0001, 5e-324, Fraction(1, 4)])
def test_rates_that_are_rates(rate: Any) -> None:
    """Any real number from 0 to 1 is a rate, wherever one is given."""
    assert check_rate(rate) == float(rate)
    assert Sampling.of(rate).rates == Rates(float(rate))
    assert Rates(0, {"country=BR": rate}).of({"country": "BR"}) == float(rate)
    assert is_sampled("a", rate) is (VECTORS["a"] < rate)


_TAKERS: Mapping[str, Callable[[Any], object]] = {
    "the hook": lambda rate: Hook(model="ranker", sampling=rate),
    "is_sampled": lambda rate: is_sampled("a", rate),
    "Sampling": Sampling,
    "Sampling of a segment": lambda rate: Sampling(0.5, {"country=BR": rate}),
    "Rates": Rates,
    "Rates of a segment": lambda rate: Rates(0.5, {"country=BR": rate}),
}


@pytest.mark.parametrize("rate", NO_RATES)
@pytest.mark.parametrize("taker", _TAKERS)
def test_rates_that_are_none(taker: str, rate: Any) -> None:
    """Anything else is refused wherever it is given, and named."""
    with pytest.raises(SettingsError, match=r"sampl|segment country=BR") as caught:
        _TAKERS[taker](rate)
    assert f"is {rate!r}; it must be a number from 0 (nothing) to 1 (everything)" in str(caught.value)


@pytest.mark.parametrize("name", ["country", "=BR", "", 7])
def test_segments_that_are_none(name: Any) -> None:
    """A rate for what is no `name=value` would never apply: it is refused."""
    with pytest.raises(SettingsError, match="write name=value"):
        Sampling(segments={name: 1.0})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"by": ""}, "sampling by ''"),
        ({"by": None}, "sampling by None"),
        ({"file": ""}, "must be a path"),
        ({"file": 7}, "must be a path"),
        ({"control": "yes"}, "must be True or False"),
        ({"segments": [("country=BR", 1.0)]}, "write them as"),
    ],
)
def test_sampling_that_is_none(wrong: dict[str, Any], words: str) -> None:
    """What cannot be meant is refused where it is written."""
    with pytest.raises(SettingsError, match=words):
        Sampling(**wrong)


class Way(Enum):
    """A segment's values, as services name them."""

    RARE = "a=b"


def test_segments_are_compared_as_they_are_published() -> None:
    """True is "true" and 7 is "7"; what has no form as a segment, and no segments at all, are in none."""
    by_segment = Rates(0.1, {"vip=true": 0.2, "age=7": 0.3, "path=a=b": 0.4, "x=None": 1, "x=1.5": 1})
    assert by_segment.of({"vip": True}) == 0.2
    assert by_segment.of({"age": 7}) == 0.3
    assert by_segment.of({"path": "a=b"}) == 0.4
    assert by_segment.of({"vip": np.True_}) == 0.2
    assert by_segment.of({"age": np.int64(7)}) == 0.3
    assert by_segment.of({"path": Way.RARE}) == 0.4
    for none in ({"vip": 1}, {"x": None}, {"x": 1.5}, {"x": ["1"]}, {"country": "BR"}, {}, None):
        assert by_segment.of(none) == 0.1


def test_rates_stay_as_they_were_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a changed mapping nor a change of the folder reaches them; another process gets them equal."""
    given: dict[str, float] = {"country=BR": 1.0}
    sampling = Sampling(0.5, given, file="rates.toml")
    here = Path("rates.toml").absolute()
    monkeypatch.chdir(tmp_path)
    given["country=BR"] = 0.0
    assert sampling.rates.of({"country": "BR"}) == 1.0
    assert sampling.file == here
    copy = pickle.loads(pickle.dumps(sampling))
    assert (copy, copy.rates) == (sampling, sampling.rates)
    assert Sampling.of(sampling) is sampling


@pytest.mark.parametrize(
    ("by", "context", "key"),
    [
        ("entity", {"entity": "no"}, "user-1"),
        ("request", {"request": "no"}, "r-1"),
        ("session_id", {"session_id": "s-1"}, "s-1"),
        ("session_id", {"session_id": 7}, "7"),
        ("session_id", {"session_id": np.int64(7)}, "7"),
        ("session_id", {"session_id": ""}, "user-1"),
        ("session_id", {"session_id": None}, "user-1"),
        ("session_id", {}, "user-1"),
        ("session_id", None, "user-1"),
    ],
)
def test_what_decides(by: str, context: dict[str, Any] | None, key: str) -> None:
    """The entity, the request or an entry of the context; without that entry, the entity."""
    sampling = Sampling(by=by)
    assert sampling.key("r-1", "user-1", context) == key
    assert sampling.key("r-1", None, context) == (key if key != "user-1" else "r-1")


def test_an_entity_is_published_always_or_never(still: None) -> None:
    """The entity decides, whatever the request's id; a request without one is sampled by its own."""
    hook = Hook(model="ranker", sampling=0.5)
    for number in range(50):
        hook.publish(features={}, prediction=1.0, entity_id="user-1", request_id=f"r-{number}")
        hook.publish(features={}, prediction=1.0, entity_id="42", request_id=f"r-{number}")
    stats = hook.stats()
    assert (stats.sampled_out, stats.queued) == (50, 50)
    hook.publish(features={}, prediction=1.0, request_id="user-1")
    hook.publish(features={}, prediction=1.0, request_id="42")
    assert (hook.stats().sampled_out, hook.stats().queued) == (51, 51)


def test_made_request_ids_are_sampled_at_the_rate(still: None) -> None:
    """Requests with neither id are sampled too, each by the id made for it."""
    hook = Hook(model="ranker", sampling=0.5)
    for _ in range(2000):
        hook.publish(features={}, prediction=1.0)
    assert 850 < hook.stats().sampled_out < 1150


def test_the_rate_that_applied_travels_with_the_request(hook_of: HookOf, taken: Taken) -> None:
    """Figures can be weighted back: each event has the rate of its own segment, or of all."""
    hook = hook_of(Sampling(0.5, {"country=BR": 1.0}, by="request"))
    for number in range(20):
        hook.publish(features={}, prediction=1.0, request_id=f"r-{number}", segments={"country": "BR"})
        hook.publish(features={}, prediction=1.0, request_id=f"r-{number}", segments={"country": "DE"})
    events = taken(hook)
    by_country = {
        country: [event.request_id for event in events if event.segments["country"] == country]
        for country in ("BR", "DE")
    }
    assert by_country["BR"] == [f"r-{number}" for number in range(20)]
    assert by_country["DE"] == [name for name in by_country["BR"] if position(name) < 0.5]
    assert {(event.segments["country"], event.sampling_rate) for event in events} == {
        ("BR", 1.0),
        ("DE", 0.5),
    }


def test_a_session_is_published_whole_or_not(hook_of: HookOf, taken: Taken) -> None:
    """What decides may be an entry of the context, whatever the entity."""
    hook = hook_of(Sampling(0.5, by="session_id"))
    for number in range(10):
        for session in ("user-1", "42"):  # above the rate and below it
            hook.publish(
                features={}, prediction=1.0, entity_id=f"e-{number}", context={"session_id": session}
            )
    assert [event.context["session_id"] for event in taken(hook)] == ["42"] * 10
