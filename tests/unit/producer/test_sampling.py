"""Which requests are published."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.errors import SettingsError
from shadowlane.producer import Hook, is_sampled, position
from shadowlane.producer._sampling import check_rate
from strategies import moderate

rates = st.floats(0, 1)
keys = st.text(max_size=20)

#: Other languages' implementations are held to these: keep them.
VECTORS = {
    "": 0.8894159948913373,
    "user-1": 0.7764059241441004,
    "user-2": 0.8483186847808387,
    "Grüße 東京": 0.8513485323862987,
    "42": 0.45030764956967506,
    "a": 0.7913742705223815,
}


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
@given(keys)
def test_nothing_and_everything(key: str) -> None:
    """0 is never and 1 is always, whatever the key; each position is below 1."""
    assert not is_sampled(key, 0)
    assert is_sampled(key, 1)
    assert 0 <= position(key) < 1


@pytest.mark.parametrize("rate", [0.0001, 0.05, 0.25, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    """Of many keys the share published is the rate, within five standard errors."""
    n = 200_000
    share = sum(is_sampled(f"user-{number}", rate) for number in range(n)) / n
    assert abs(share - rate) < 5 * (rate * (1 - rate) / n) ** 0.5


@pytest.mark.parametrize("rate", [0, 1, 0.0, 1.0, 0.0001, 5e-324, Fraction(1, 4)])
def test_rates_that_are_rates(rate: Any) -> None:
    """Any real number from 0 to 1 is a rate."""
    assert check_rate(rate) == float(rate)


@pytest.mark.parametrize("rate", [-1, 1.1, float("nan"), float("inf"), "10", "0.5", None, True, 1j])
def test_rates_that_are_none(rate: Any) -> None:
    """Anything else is refused where the hook is made, and named."""
    with pytest.raises(SettingsError, match=r"sampling is .* from 0"):
        Hook(model="ranker", sampling=rate)


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
