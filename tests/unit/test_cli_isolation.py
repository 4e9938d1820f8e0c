"""The options that say where a model lives become a plan's part."""

from __future__ import annotations

import pytest

from shadowlane.cli._isolation_options import Home, IsolationOptions, parse_size
from shadowlane.errors import SettingsError
from shadowlane.replay_worker import Isolation


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("2G", 2 << 30),
        ("2gib", 2 << 30),
        ("1.5 GiB", 3 << 29),
        ("500MB", 500_000_000),
        ("500M", 500 << 20),
        ("64KiB", 64 << 10),
        ("1TiB", 1 << 40),
        ("4096", 4096),
        ("4096B", 4096),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    """With or without a unit; powers of 1000 only where it says so."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "2 potatoes", "-1GiB", "2PiB", "1,5GiB", "2GiBs", "nan"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """The sentence says how to write it, and of which option."""
    with pytest.raises(SettingsError, match=r"--memory-limit: .* is no size: write it as 2GiB"):
        IsolationOptions(memory_limit=text).value()


def test_by_default_the_model_has_a_process_without_limits() -> None:
    """As the plan's own defaults say."""
    assert IsolationOptions().value() == Isolation()


def test_each_option_is_in_the_plan() -> None:
    """None is lost on the way."""
    options = IsolationOptions(
        call_seconds=5,
        load_seconds=60,
        memory_limit="2GiB",
        recycle_after=10_000,
        recycle_growth="1GiB",
        deny_network=True,
        deny_writes=True,
    )
    assert options.value() == Isolation("process", 5, 60, 2 << 30, 10_000, 1 << 30, True, True)


def test_no_process_takes_no_limits() -> None:
    """What could not be kept is refused."""
    assert IsolationOptions(isolation=Home.none).value() == Isolation("none")
    with pytest.raises(SettingsError, match="--isolation none"):
        IsolationOptions(isolation=Home.none, memory_limit="1GiB").value()
