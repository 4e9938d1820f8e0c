"""Topic names and specs."""

from __future__ import annotations

from shadowlane import kafka
from shadowlane.kafka import TopicNames, TopicSpec, default_specs
from shadowlane.kafka._topics import differences


def test_names_carry_the_prefix() -> None:
    """Two pipelines share a cluster by their prefixes."""
    names = TopicNames("team-")
    assert [spec.name for spec in default_specs(names)] == [
        "team-production-requests",
        "team-shadow-comparisons",
        "team-shadow-errors",
        "team-production-labels",
        "team-shadow-ledger",
        "team-shadow-control",
    ]


def test_control_is_compacted_and_never_expires() -> None:
    """Whoever reads it later must still find the newest settings."""
    control = default_specs(TopicNames())[-1]
    assert (control.cleanup_policy, control.retention_ms, control.partitions) == ("compact", -1, 1)


def test_an_error_message_fits_any_request() -> None:
    """An error carries the raw request in base64: four thirds of it, and some more."""
    requests, _, errors, *_ = default_specs(TopicNames())
    assert errors.max_message_bytes > requests.max_message_bytes * 4 / 3 + 100_000


def test_a_topic_as_its_spec_says_has_no_difference() -> None:
    """The broker's own answers, as text, are compared."""
    spec = TopicSpec("t", 2)
    assert differences(spec, 2, spec.config() | {"segment.bytes": "1"}) == []


def test_a_setting_that_the_broker_hides_is_a_difference() -> None:
    """Unknown is not equal."""
    assert [d.actual for d in differences(TopicSpec("t", 1), 1, {})] == ["unknown"] * 3


def test_the_public_door_lists_what_it_offers() -> None:
    """`__all__` is sorted, and each name of it is there."""
    assert kafka.__all__ == sorted(kafka.__all__)
    assert all(hasattr(kafka, name) for name in kafka.__all__)
