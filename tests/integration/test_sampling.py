"""The control topic, on a real Kafka: what operators set reaches the hooks of a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from shadowlane.errors import SettingsError, TopicMissingError
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
)
from shadowlane.producer import Hook, Rates, Sampling, read_sampling, set_sampling
from shadowlane.producer._log import Log
from shadowlane.producer._rates import RateWatch
from shadowlane.schemas import Codec, ControlSetting, SamplingRates

if TYPE_CHECKING:
    from pathlib import Path

    from confluent_kafka import Producer

    from conftest import ProducerFactory

GENEROUS = 60.0
GIVEN = Rates(0.5)

Watching = Callable[..., RateWatch]
Write = Callable[[str, "bytes | None"], None]


@pytest.fixture
def watching(kafka: KafkaSettings, topics: TopicNames) -> Iterator[Watching]:
    """Makes watches of the control topic, beside a rate of 0.5."""
    with ExitStack() as stack:

        def make(model: str = "ranker", **more: Any) -> RateWatch:
            settings = replace(kafka, topic_prefix=topics.prefix)
            watch = RateWatch(Sampling(0.5, control=True, **more), model, settings, Log())
            stack.callback(watch.close)
            return watch

        yield make


@pytest.fixture
def write(topics: TopicNames, producer_factory: ProducerFactory) -> Write:
    """Writes any message to the control topic."""
    producer: Producer = producer_factory()

    def write(key: str, value: bytes | None) -> None:
        producer.produce(topics.control, key=key, value=value, partition=0)
        assert producer.flush(GENEROUS) == 0

    return write


def news(watch: RateWatch) -> Rates:
    """The next rates that a watch notices."""
    end = time.monotonic() + GENEROUS
    while time.monotonic() < end:
        rates = watch.look()
        if rates is not None:
            return rates
        time.sleep(0.02)
    raise AssertionError("no news")


def catch_up(watch: RateWatch) -> None:
    """Let a watch read the topic to its end; there is nothing new in it."""
    assert watch._control is not None
    while not watch._control.is_caught_up:
        assert watch.look() is None
        time.sleep(0.02)


def message(rate: float, segments: dict[str, float] | None = None) -> bytes:
    """A setting as another writer may write it."""
    rates = SamplingRates(rate=rate, segments=segments or {})
    return Codec(ControlSetting).encode(
        ControlSetting(model="ranker", sampling=rates, set_at=datetime.now(UTC))
    )


def test_what_is_set_arrives_and_can_be_taken_back(settings: KafkaSettings, watching: Watching) -> None:
    """A watch notices each setting once, and the end of it: the arguments' rates hold again."""
    watch = watching()
    catch_up(watch)
    set_sampling(settings, "ranker", Rates(0.1, {"country=BR": 1.0}))
    assert news(watch) == Rates(0.1, {"country=BR": 1.0})
    assert watch.look() is None
    set_sampling(settings, "ranker", Rates(0.2))
    assert news(watch) == Rates(0.2)
    set_sampling(settings, "ranker", None)
    assert news(watch) == GIVEN


@pytest.mark.parametrize("rate", [0.0, 0.0001, 1.0])
def test_rates_that_are_rates(settings: KafkaSettings, watching: Watching, rate: float) -> None:
    """Nothing, a little and everything arrive as they were set."""
    set_sampling(settings, "ranker", Rates(rate, {"country=BR": rate}))
    assert news(watching()) == Rates(rate, {"country=BR": rate})


def test_a_late_reader_gets_the_latest(
    topics: TopicNames, watching: Watching, producer_factory: ProducerFactory
) -> None:
    """What was set before, and replaced since, holds at no moment, however much there is to read."""
    producer = producer_factory()
    for number in range(3000):  # more than one look takes
        producer.produce(topics.control, key="ranker/sampling", value=message(number / 3000), partition=0)
    assert producer.flush(GENEROUS) == 0
    assert news(watching()) == Rates(2999 / 3000)


def test_the_setting_of_another_model_is_none_of_ours(
    settings: KafkaSettings, watching: Watching, write: Write
) -> None:
    """Nor is another kind of setting of our model, whatever its form."""
    set_sampling(settings, "ranker-2", Rates(0.1))
    write("ranker/weights", b"to come")
    watch = watching()
    catch_up(watch)
    assert watch.look() is None
    assert news(watching("ranker-2")) == Rates(0.1)


BAD = {
    message(-1.0): "the sampling rate is -1.0; it must be a number from 0",
    message(1.1): "the sampling rate is 1.1; it must be a number from 0",
    message(float("nan")): "the sampling rate is nan; it must be a number from 0",
    message(0.1, {"country=BR": float("nan")}): "the rate of segment country=BR is nan",
    message(0.1, {"country": 1.0}): "segment 'country' has a rate; write name=value",
    b"rate = 0.1": "",
    b"": "",
    message(0.1)[:-3]: "cut short",
    message(0.1) + b"\x00": "1 bytes too many",
}


def test_a_bad_message_is_left_out(
    settings: KafkaSettings, watching: Watching, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """The setting before it holds, the log says once where it lies and why, and the next one is taken."""
    set_sampling(settings, "ranker", Rates(0.1))
    for bad in BAD:
        write("ranker/sampling", bad)
    watch = watching()
    assert news(watch) == Rates(0.1)
    said = [line for line in caplog.messages if "message of the control topic is left out" in line]
    assert len(said) == len(BAD)
    for offset, (line, why) in enumerate(zip(said, BAD.values(), strict=True), 1):
        assert f"shadow-control[0]@{offset}: " in line
        assert why in line
    held = read_sampling(settings, "ranker")
    assert held is not None
    assert held.sampling == SamplingRates(rate=0.1)
    set_sampling(settings, "ranker", Rates(0.2))
    assert news(watch) == Rates(0.2)


def test_a_setting_without_rates_is_none(settings: KafkaSettings, watching: Watching, write: Write) -> None:
    """It says nothing of sampling: what else is there holds."""
    set_sampling(settings, "ranker", Rates(0.1))
    watch = watching()
    assert news(watch) == Rates(0.1)
    event = ControlSetting(model="ranker", set_at=datetime.now(UTC))
    write("ranker/sampling", Codec(ControlSetting).encode(event))
    assert news(watch) == GIVEN


def test_the_control_topic_over_the_file_over_the_arguments(
    settings: KafkaSettings, watching: Watching, tmp_path: Path
) -> None:
    """The strongest that says anything holds; what a weaker one says meanwhile holds when its turn comes."""
    file = tmp_path / "rates.toml"
    watch = watching(file=file)
    catch_up(watch)
    file.write_text("rate = 0.2")
    assert news(watch) == Rates(0.2)
    set_sampling(settings, "ranker", Rates(0.3))
    assert news(watch) == Rates(0.3)
    file.write_text('rate = 0.4\n[segments]\n"country=BR" = 1')
    assert watch.look() is None
    set_sampling(settings, "ranker", None)
    assert news(watch) == Rates(0.4, {"country=BR": 1.0})
    file.unlink()
    assert watch.look() is None
    set_sampling(settings, "ranker", Rates(0.5))  # as the arguments say, but said
    assert news(watch) == Rates(0.5)


def test_what_was_set_can_be_read(settings: KafkaSettings) -> None:
    """Rates, time, person and reason, and nothing where nothing is set."""
    assert read_sampling(settings, "ranker") is None
    before = datetime.now(UTC)
    set_sampling(settings, "ranker", Rates(0.1, {"country=BR": 1.0}), set_by="dana", reason="few from BR")
    event = read_sampling(settings, "ranker")
    assert event is not None
    assert before <= event.set_at <= datetime.now(UTC)
    rates = SamplingRates(rate=0.1, segments={"country=BR": 1.0})
    assert event == ControlSetting(
        model="ranker", sampling=rates, set_at=event.set_at, set_by="dana", reason="few from BR"
    )
    set_sampling(settings, "ranker", None)
    assert read_sampling(settings, "ranker") is None


def test_no_topic_and_no_name(kafka: KafkaSettings) -> None:
    """Both are said, and what to do."""
    nowhere = replace(kafka, topic_prefix="no-such-")
    with pytest.raises(TopicMissingError, match="shadowlane topics create"):
        set_sampling(nowhere, "ranker", Rates(0.1))
    with pytest.raises(TopicMissingError, match="shadowlane topics create"):
        read_sampling(nowhere, "ranker")
    with pytest.raises(SettingsError, match="model name 'a/b'"):
        set_sampling(nowhere, "a/b", Rates(0.1))
    with pytest.raises(SettingsError, match="model name 'a/b'"):
        read_sampling(nowhere, "a/b")


def test_a_topic_that_comes_later(kafka: KafkaSettings) -> None:
    """A hook may start before its topics are made."""
    names = TopicNames(f"late-{time.time_ns()}-")
    settings = replace(kafka, topic_prefix=names.prefix)
    watch = RateWatch(Sampling(0.5, control=True), "ranker", settings, Log())
    for _ in range(20):
        assert watch.look() is None
        time.sleep(0.02)
    create_topics(kafka, default_specs(names, 1))
    set_sampling(settings, "ranker", Rates(0.1))
    assert news(watch) == Rates(0.1)
    watch.close()


def test_the_reader_joins_no_group(settings: KafkaSettings, watching: Watching) -> None:
    """It leaves no trace on the broker, however many hooks there are."""
    catch_up(watching())
    groups = make_admin(settings).list_consumer_groups().result(timeout=GENEROUS)
    assert "shadowlane-control" not in {group.group_id for group in groups.valid}


def test_the_rates_outlast_the_broker(own_kafka: EmbeddedKafka) -> None:
    """While it is away nothing changes; when it is back, what is set then arrives."""
    settings = KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers)
    create_topics(settings, default_specs(TopicNames(), 1))
    set_sampling(settings, "ranker", Rates(0.1))
    watch = RateWatch(Sampling(0.5, control=True), "ranker", settings, Log())
    assert news(watch) == Rates(0.1)
    data, port = own_kafka.log_path.parent, int(settings.bootstrap_servers.rpartition(":")[2])
    own_kafka.stop()
    for _ in range(50):
        assert watch.look() is None
        time.sleep(0.02)
    with EmbeddedKafka(data, port):
        set_sampling(settings, "ranker", Rates(0.2))
        assert news(watch) == Rates(0.2)
    watch.close()


def test_a_running_hook_follows(settings: KafkaSettings) -> None:
    """A service that publishes nothing begins to, without a restart, at the rate that was set."""
    with Hook(model="ranker", kafka=settings, sampling=Sampling(0, control=True)) as hook:
        hook.publish(features={}, prediction=1.0, request_id="first")
        set_sampling(settings, "ranker", Rates(0, {"country=BR": 1.0}))
        end = time.monotonic() + GENEROUS
        while not hook.stats().published and time.monotonic() < end:
            hook.publish(features={}, prediction=1.0, segments={"country": "BR"})
            hook.publish(features={}, prediction=1.0, segments={"country": "DE"})
            time.sleep(0.05)
        before = hook.stats()
        for _ in range(100):
            hook.publish(features={}, prediction=1.0, segments={"country": "BR"})
            hook.publish(features={}, prediction=1.0, segments={"country": "DE"})
        assert hook.flush(GENEROUS)
        after = hook.stats()
    assert after.observed - before.observed == 200
    assert after.sampled_out - before.sampled_out == 100
