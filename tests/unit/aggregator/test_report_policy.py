"""The policy, its file, and what it says to mistakes."""

from __future__ import annotations

import math
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from shadowlane.aggregator.gate import needed_sections
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("confidence = 95", "confidence = 95: a share from 0.5 to below 1 is wanted; did you mean 0.95"),
        ("confidence = 1.0", "confidence = 1.0.*such as 0.95"),
        ("confidence = 0.3", "confidence = 0.3: a share from 0.5 to below 1"),
        ("max_latency_ratio = 0", "max_latency_ratio = 0: a number above 0 is wanted, such as 1.5"),
        ("max_latency_ratio = '150 %'", "did you mean 1.5"),
        ("segments = 5", r"segments = 5: a section of criteria is wanted, headed \[segments\]"),
        ("segment = 5", "'segment': did you mean segments"),
        ("[segments]", r"\[segments\] asks for nothing without segments.names"),
        ("[segments]\nnames = 'country'", "segments.names = 'country': a list.*did you mean \\[.country.\\]"),
        ("[segments]\nnames = []", "segments.names = .*such as"),
        ("[segments]\nnames = ['a', 'a']", "a list of different names"),
        ("[segments]\nnames = ['a']\nmin_agreement = 0.9", "did you mean segments.min_agreement_rate"),
        (
            "[segments]\nnames = ['a']\nmin_requests = 0.5",
            "segments.min_requests = 0.5: a whole number from 1",
        ),
        ("[segments]\nnames = ['a']\nmax_error_rate = 5", "segments.max_error_rate = 5.*did you mean 0.05"),
        ("[segments]\nnames = ['a']\nmin_share = '1 %'", "segments.min_share.*did you mean 0.01"),
        ("[labels]\nname = 'click'", r"\[labels\] asks for nothing without labels.max_correctness_loss or"),
        ("[labels]\nmax_correctness_los = 0.1", "did you mean labels.max_correctness_loss"),
        ("[labels]\nname = ['click']\nmax_brier_increase = 0", 'labels.name = .*did you mean "click"'),
        ("[labels]\nthreshold = nan\nmax_brier_increase = 0", "labels.threshold = nan"),
        ("[labels]\nmax_shadow_error_rate = 0.1", "did you mean max_shadow_error_rate"),
        ("max_cpu_p99_ms = 5", "did you mean resources.max_cpu_p99_ms"),
        ("[resources]\nmax_memory = 5", "did you mean resources.max_memory_mb"),
        ("[resources]\nmax_memory_mb = -5", "resources.max_memory_mb = -5: 0 or more is wanted"),
        ("[noise]\nmin_corrected_agreement_rate = 0.9", r"\[noise\] asks for nothing without noise.control"),
        ("[coverage]\nfull_week = 'yes'", "coverage.full_week = 'yes'.*did you mean true"),
        ("[coverage]\nmin_days = '7'", "coverage.min_days = '7'.*did you mean 7"),
        ("[completeness]\nmax_unexplained = 1", "did you mean completeness.max_unexplained_rate"),
        ("[features]\nzebra = 1", "known are features.max_missing_rate, features.max_feature_missing_rate"),
    ],
)
def test_a_mistake_in_a_section_is_named_too(tmp_path: Path, text: str, said: str) -> None:
    """With the section, and the criterion of whichever section was meant."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        Policy.load(path)


def test_each_section_is_read(tmp_path: Path) -> None:
    """What a file asks for is in the criteria, with its sections' defaults; they make the same policy."""
    path = tmp_path / "policy.toml"
    path.write_text(
        "confidence = 0.95\nmax_latency_ratio = 2\n"
        "[segments]\nnames = ['country']\nmax_correctness_loss = 0.1\n"
        "[labels]\nmax_brier_increase = 0.01\nthreshold = -1.5\n"
        "[noise]\ncontrol = 'again'\nmin_corrected_agreement_rate = 0.98\n"
        "[features]\nmax_missing_rate = 0.02\n[coverage]\nfull_week = true\n[completeness]\n"
        "[resources]\nmax_cpu_p99_ms = 20\n"
    )
    policy = Policy.load(path)
    assert Policy.of(policy.criteria) == policy
    asked = {name: value for name, value in policy.criteria.items() if name not in Policy().criteria}
    assert asked == {
        "confidence": 0.95,
        "max_latency_ratio": 2.0,
        "segments": {
            "names": ["country"],
            "min_requests": 100,
            "min_share": 0.001,
            "max_correctness_loss": 0.1,
        },
        "labels": {"name": "label", "threshold": -1.5, "min_labelled": 1_000, "max_brier_increase": 0.01},
        "noise": {
            "control": "again",
            "control_run": "live",
            "min_corrected_agreement_rate": 0.98,
            "min_control_requests": 1000,
        },
        "features": {"max_missing_rate": 0.02},
        "coverage": {"full_week": True},
        "completeness": {"max_unexplained_rate": 0.001},
        "resources": {"max_cpu_p99_ms": 20.0},
    }
    assert needed_sections(policy) == {
        *("totals", "latency", "distributions", "segments", "truth", "agreement", "features", "coverage"),
        *("completeness", "resources", "clusters"),
    }
    assert needed_sections(Policy()) == {"totals", "latency", "distributions"}


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
    section = Policy.of({"completeness": {}})
    assert section.digest == Policy.of({"completeness": {"max_unexplained_rate": 0.001}}).digest
    assert section.digest != Policy().digest
    assert Policy().digest == "sha256:df7b36840dbe8341a7249c2abd6729d709a081b343e5f9ced5822da214f895d2"


def test_the_page_names_every_criterion(tmp_path: Path) -> None:
    """The examples of docs/gate.md are policies, the first the default; together they ask for everything."""
    page = (Path(__file__).parents[3] / "docs" / "gate.md").read_text("utf-8")
    five, more = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "policy.toml"
    path.write_text(five)
    assert Policy.load(path) == Policy()
    path.write_text(five + more)
    asked = Policy.load(path)
    for criteria in (asked, *(getattr(asked, name) for name in asked.criteria if hasattr(asked, name))):
        if is_dataclass(criteria):
            assert all(getattr(criteria, field.name) is not None for field in fields(criteria)), criteria
