"""How numbers and text are written for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import Interval
from shadowlane.schemas import Prediction
from shadowlane.visible import visible

_OPEN_RATE = st.floats(0, 1, exclude_min=True, exclude_max=True)


@pytest.mark.parametrize(
    ("rate", "written"),
    [
        (None, "—"),
        (0.0, "0.00 %"),
        (1.0, "100.00 %"),
        (0.5, "50.00 %"),
        (0.99996, "99.996 %"),
        (0.99999999, "99.999999 %"),
        (0.0000123, "0.001 %"),
        (1 - 1e-16, "under 100 %"),
    ],
)
def test_percent(rate: float | None, written: str) -> None:
    """A rate is written in as many digits as it needs to be told from all and none."""
    assert _values.percent(rate) == written


@given(_OPEN_RATE)
def test_what_is_not_all_is_never_written_as_100_percent(rate: float) -> None:
    """No rounding turns nearly all into all, nor nearly none into none."""
    written = _values.percent(rate)
    if "under" not in written and "over" not in written:
        assert 0 < float(written.removesuffix(" %")) < 100


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_value_and_another_bound_are_never_written_alike(value: float, bound: float) -> None:
    """89.996 % is not shown as 90.00 % beside a bound of 90 %."""
    written = _values.apart(value, bound, _values.percent)
    assert value == bound or written[0] != written[1]


def test_a_bound_is_written_short() -> None:
    """A bound has no more decimals than it was given."""
    assert _values.apart(0.89996, 0.9, _values.percent) == ("89.996 %", "90 %")
    assert _values.apart(100.004, 100, _values.milliseconds) == ("100.004 ms", "100 ms")
    assert _values.apart(0.1500001, 0.15, _values.distance) == ("0.1500001", "0.15")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "—"),
        (1234.56, "1,234.6 ms"),
        (12.34, "12.3 ms"),
        (1.5, "1.50 ms"),
        (0.01234, "0.0123 ms"),
        (0.0, "0.0 ms"),
    ],
)
def test_milliseconds(value: float | None, written: str) -> None:
    """A small latency keeps three digits that say something."""
    assert _values.milliseconds(value) == written


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [
        (_values.points, None, "—"),
        (_values.points, 0.012, "+1.20 points"),
        (_values.points, -0.00000012, "-0.00001 points"),
        (_values.points, 0.0, "+0.00 points"),
        (_values.points, 1e-18, "over 0 points"),
        (_values.p_value, None, "—"),
        (_values.p_value, 0.03125, "0.0312"),
        (_values.p_value, 1e-300, "<0.0001"),
        (_values.signed, -0.0123, "-0.0123"),
        (_values.signed_milliseconds, -5.1, "-5.10 ms"),
        (_values.signed_milliseconds, 5.1, "+5.10 ms"),
        (_values.lag, None, "—"),
        (_values.lag, 850.4, "850 ms"),
        (_values.lag, 12_400.0, "12.4 s"),
        (_values.lag, 7_200_000.0, "2.0 h"),
        (_values.lag, 400_000_000.0, "4.6 days"),
        (_values.seconds, 3_600, "1 hour"),
        (_values.seconds, 5_400, "90 minutes"),
        (_values.seconds, 604_800, "1 week"),
        (_values.seconds, 7, "7 seconds"),
    ],
)
def test_differences_and_lengths_of_time(write: Callable[[Any], str], value: Any, written: str) -> None:
    """A difference has its sign and is never written as none; a length of time is in a unit that fits."""
    assert write(value) == written


def test_both_ends_of_an_interval_share_their_unit() -> None:
    """94.69 to 95.29 %, and nothing where there is no interval."""
    ends = Interval(low=0.9469, high=0.9529, level=0.95, method="wilson")
    assert _values.between(ends, _values.percent) == "94.69 to 95.29 %"
    assert _values.between(ends, _values.number) == "0.9469 to 0.9529"
    assert _values.between(None, _values.percent) == "—"


@given(st.floats(-1, 1).filter(bool))
def test_a_difference_that_is_one_is_never_written_as_none(value: float) -> None:
    """However small it is."""
    written = _values.points(value).removesuffix(" points")
    assert written in ("over 0", "under 0") or float(written) != 0


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_visible_text_cannot_act(text: str) -> None:
    """No control, format or line-breaking character survives, and the text is cut."""
    shown = visible(text, 50)
    assert all(letter == " " or unicodedata.category(letter)[0] not in "CZ" for letter in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eabc", "\\u{202e}abc"),
        ("\x9b1m", "\\x9b1m"),
        ("Ünïcode 数", "Ünïcode 数"),
    ],
)
def test_what_would_act_is_written_out(text: str, shown: str) -> None:
    """Escape sequences and turns of the reading direction are shown as their codes."""
    assert visible(text) == shown


def test_predictions_in_short() -> None:
    """A label with its confidence, a score, a vector and a ranking each read as what they are."""
    assert _values.prediction(Prediction(label="cat", score=0.75)) == "cat (0.75)"
    assert _values.prediction(Prediction(score=float("nan"))) == "nan"
    assert _values.prediction(Prediction(vector=[1.0, 2.5])) == "[1, 2.5]"
    assert _values.prediction(Prediction(ranking=["a", "b"])) == "a > b"
    assert _values.prediction(Prediction()) == "—"
