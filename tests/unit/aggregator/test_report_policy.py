"""The policy, its file, and what it says to mistakes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from shadowlane.aggregator.gate._policy import Policy
from shadowlane.errors import SettingsError


def test_the_five_defaults() -> None:
    """The criteria without any file are the documented five."""
    assert Policy() == Policy(
        min_requests=10_000,
        min_agreement_rate=0.90,
        max_shadow_latency_p99_ms=100,
        max_shadow_error_rate=0.001,
        max_distribution_divergence=0.15,
    )


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    """A criterion in the file replaces its default, the others stay."""
    path = tmp_path / "policy.toml"
    path.write_text("min_requests = 500\nmin_agreement_rate = 0.97\n")
    assert Policy.load(path) == Policy(min_requests=500, min_agreement_rate=0.97)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_request = 5", "'min_request': did you mean min_requests"),
        ("agreement_rate = 0.9", "did you mean min_agreement_rate"),
        ("zebra = 1", "known are min_requests"),
        ("min_agreement_rate = 95", "min_agreement_rate = 95.*did you mean 0.95"),
        ('min_agreement_rate = "90%"', "min_agreement_rate = '90%'.*did you mean 0.9?"),
        ("min_agreement_rate = true", "min_agreement_rate = True.*such as 0.9"),
        ("min_agreement_rate = nan", "min_agreement_rate = nan"),
        ("max_shadow_latency_p99_ms = inf", "max_shadow_latency_p99_ms = inf.*such as 100"),
        ("max_shadow_error_rate = -1", "max_shadow_error_rate = -1"),
        ("min_requests = 0", "min_requests = 0.*whole number from 1"),
        ("min_requests = 10.5", "min_requests = 10.5.*did you mean 10"),
        ("min_requests = '10_000'", "did you mean 10000"),
        ("min_requests = ", "is not TOML"),
        ("[gate]\nmin_requests = 5", "there is no criterion 'gate'"),
    ],
)
def test_a_mistake_is_named_with_what_is_right(tmp_path: Path, text: str, said: str) -> None:
    """A wrong key or value is refused, with the file, the key and the nearest right one."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        Policy.load(path)
    assert "policy.toml" in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    """A policy that is not there does not turn into the defaults."""
    with pytest.raises(SettingsError, match=r"absent\.toml cannot be read: No such file"):
        Policy.load(tmp_path / "absent.toml")


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "x", None, [0.9]])
def test_no_bound_lets_everything_through(value: Any) -> None:
    """A bound that is no number, which every comparison would pass or fail, is refused."""
    with pytest.raises(SettingsError, match="min_agreement_rate"):
        Policy(min_agreement_rate=value)


def test_the_digest_is_of_the_criteria() -> None:
    """100 and 100.0 are the same criterion; another bound is another policy."""
    assert Policy(max_shadow_latency_p99_ms=100).digest == Policy(max_shadow_latency_p99_ms=100.0).digest
    assert Policy(min_requests=9_999).digest != Policy().digest
    assert Policy().digest == "sha256:df7b36840dbe8341a7249c2abd6729d709a081b343e5f9ced5822da214f895d2"
