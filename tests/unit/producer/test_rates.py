"""Rates that change while a service runs: what the file says, and what holds when nobody answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shadowlane.kafka import KafkaSettings, Tls
from shadowlane.producer import Rates, Sampling
from shadowlane.producer._log import Log
from shadowlane.producer._rates import RateWatch
from shadowlane.producer.testing import MemoryHook

#: Nobody listens there.
UNREACHABLE = KafkaSettings(bootstrap_servers="127.0.0.1:1")

Watch = Callable[..., RateWatch]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file is, once there is one."""
    return tmp_path / "rates.toml"


@pytest.fixture
def watching(file: Path) -> Watch:
    """Makes watches of the file, beside a rate of 0.5."""

    def make(in_force: Rates | None = None, **more: Any) -> RateWatch:
        return RateWatch(Sampling(0.5, file=file, **more), "ranker", UNREACHABLE, Log(), in_force)

    return make


def test_a_file_is_stronger_than_the_arguments(watching: Watch, file: Path) -> None:
    """Its rate and segments replace those of the arguments, together, and once."""
    file.write_text('rate = 0.1\n[segments]\n"country=BR" = 1\n')
    watch = watching(segments={"tier=gold": 1.0})
    assert watch.look() == Rates(0.1, {"country=BR": 1.0})
    assert watch.look() is None


def test_a_file_that_says_the_same_is_no_news(
    watching: Watch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Other words for the rates in force, or a new file of the same words, change nothing."""
    file.write_text("rate = 0.5")
    watch = watching()
    assert watch.look() is None
    file.write_text("rate = 0.50 # as before\n")
    assert watch.look() is None
    file.with_suffix(".new").write_text("rate = 0.50 # as before\n")
    file.with_suffix(".new").replace(file)
    assert watch.look() is None
    assert caplog.text == ""


def _in_place(file: Path, text: str) -> None:
    file.write_text(text)


def _renamed(file: Path, text: str) -> None:
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").replace(file)


def _linked(file: Path, text: str) -> None:
    """As Kubernetes mounts a ConfigMap: the link stays, the folder behind it changes."""
    folder = file.parent / f"version-{len(list(file.parent.iterdir()))}"
    folder.mkdir()
    (folder / file.name).write_text(text)
    file.unlink(missing_ok=True)
    file.symlink_to(folder / file.name)


def _at_the_same_time(file: Path, text: str) -> None:
    """Within one tick of the file system's clock, and as long as before."""
    file.write_text(text)
    os.utime(file, ns=(0, 0))


@pytest.mark.parametrize("write", [_in_place, _renamed, _linked, _at_the_same_time])
def test_each_way_of_writing_is_noticed(
    watching: Watch, file: Path, write: Callable[[Path, str], None]
) -> None:
    """Whether the file is replaced or written in place, the next look sees what it says."""
    watch = watching()
    for rate in (0.1, 0.2, 0.3):
        write(file, f"rate = {rate}")
        assert watch.look() == Rates(rate)
        assert watch.look() is None


@pytest.mark.parametrize("rate", ["0", "1", "0.0001"])
def test_rates_that_are_rates(watching: Watch, file: Path, rate: str) -> None:
    """Whole numbers and small ones are taken, for all requests and for a segment."""
    file.write_text(f'rate = {rate}\nsegments = {{"country=BR" = {rate}}}')
    rates = watching().look()
    assert rates == Rates(float(rate), {"country=BR": float(rate)})


WRONG = {
    "rate = -1": "the sampling rate is -1; it must be a number from 0",
    "rate = 1.1": "the sampling rate is 1.1; it must be a number from 0",
    "rate = nan": "the sampling rate is nan; it must be a number from 0",
    'rate = "10"': "the sampling rate is '10'; it must be a number from 0",
    "rate = true": "the sampling rate is True; it must be a number from 0",
    "rate = 0.1\nrates = 1": "rates is not a setting; known: rate, segments",
    "rate = 0.1\nsegments = 1": "the segments' rates are 1",
    'rate = 0.1\n[segments]\n"country=BR" = nan': "the rate of segment country=BR is nan",
    "rate = 0.1\n[segments]\ncountry = 1.0": "segment 'country' has a rate; write name=value",
    '[segments]\n"country=BR" = 1': "it says no rate",
    "": "it says no rate",
    "rate": "after a key",
    "rate = 0.1 # \udcff": "utf-8",
    "#" * 70_000: "more than 64 KiB",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_file_that_is_wrong_changes_nothing(
    watching: Watch, file: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The rates in force stay; the log says once what is wrong, and once that it no longer is."""
    file.write_text("rate = 0.2")
    watch = watching()
    assert watch.look() == Rates(0.2)
    for _ in range(2):
        caplog.clear()
        file.write_text(text, "utf-8", "surrogateescape")
        assert [watch.look() for _ in range(3)] == [None] * 3
        [line] = caplog.messages
        assert line.startswith(f"the sampling file {file} cannot be used (")
        assert WRONG[text] in line
        assert line.endswith("; the rates stay as they are")
        caplog.clear()
        file.write_text("rate = 0.2")
        assert [watch.look() for _ in range(3)] == [None] * 3
        assert caplog.messages == [f"the sampling file {file} can be used again"]


def test_a_wrong_file_at_the_start(watching: Watch, file: Path) -> None:
    """The rates that the hook was made with hold until the file is right."""
    file.write_text("rate = 2")
    watch = watching()
    assert watch.look() is None
    file.write_text("rate = 0.2")
    assert watch.look() == Rates(0.2)


def test_a_missing_file(watching: Watch, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start the arguments hold, later what it said last; it is said once, a return is noticed."""
    gone = f"the sampling file {file} cannot be read (No such file or directory); the rates stay as they are"
    watch = watching()
    assert [watch.look() for _ in range(3)] == [None] * 3
    assert caplog.messages == [gone]
    file.write_text("rate = 0.2")
    assert watch.look() == Rates(0.2)
    caplog.clear()
    file.unlink()
    assert [watch.look() for _ in range(3)] == [None] * 3
    assert caplog.messages == [gone]
    file.write_text("rate = 0.3")
    assert watch.look() == Rates(0.3)


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.mkdir()


def _endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [_pipe, _folder, _endless])
def test_what_is_no_file_keeps_nobody_waiting(
    watching: Watch, file: Path, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None]
) -> None:
    """A pipe that nobody writes to, a folder and an endless device are refused, and looked at no further."""
    put(file)
    assert watching().look() is None
    [line] = caplog.messages
    assert "no regular file" in line or "Is a directory" in line


def test_a_change_is_one_line_in_the_log(
    watching: Watch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator sees that what was set has arrived."""
    watch = watching()
    file.write_text('rate = 0.0001\n[segments]\n"country=BR" = 1')
    watch.look()
    watch.look()
    assert (
        caplog.messages[-1]
        == "the hook of ranker now samples at 0.0001; segments with a rate of their own: 1"
    )


def test_a_forked_child_starts_with_its_parents_rates(watching: Watch, file: Path) -> None:
    """What differs from those is news to it, also where it is what the arguments say."""
    file.write_text("rate = 0.5")
    assert watching(in_force=Rates(0.2)).look() == Rates(0.5)
    assert watching(in_force=Rates(0.5)).look() is None


@pytest.mark.parametrize("in_force", [None, Rates(0.2)])
def test_no_broker_changes_nothing(in_force: Rates | None) -> None:
    """While nobody has said what the control topic says, the rates in force stay; a look does not wait."""
    watch = RateWatch(Sampling(0.5, control=True), "ranker", UNREACHABLE, Log(), in_force)
    assert watch.consumer is None
    assert [watch.look() for _ in range(50)] == [None] * 50
    assert watch.consumer is not None
    watch.close()


def test_the_file_holds_while_no_broker_answers(watching: Watch, file: Path) -> None:
    """A control topic that cannot be read says nothing."""
    file.write_text("rate = 0.1")
    watch = watching(control=True)
    assert watch.look() == Rates(0.1)
    watch.close()


def test_a_client_that_cannot_be_made_is_said_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that is not there yet, say: it is tried again at each look, and the file is followed."""
    broken = KafkaSettings(tls=Tls(ca_location="/nowhere"))
    watch = RateWatch(Sampling(0.5, file=file, control=True), "ranker", broken, Log())
    file.write_text("rate = 0.1")
    assert [watch.look() for _ in range(3)] == [Rates(0.1), None, None]
    assert caplog.text.count("the hook's rates stay as they are") == 1
    assert watch.consumer is None
    watch.close()


def test_nothing_to_watch() -> None:
    """A hook whose rates cannot change looks at nothing."""
    watch = RateWatch(Sampling(0.5), "ranker", UNREACHABLE, Log())
    assert watch.look() is None
    assert watch.consumer is None
    watch.close()


def test_the_first_request_is_taken_at_the_files_rate(tmp_path: Path) -> None:
    """Not only from the first look on: a file that says nothing is to be published is meant at once."""
    file = tmp_path / "rates.toml"
    file.write_text("rate = 0")
    with MemoryHook(model="ranker", sampling=Sampling(rate=1.0, file=file)) as hook:
        hook.publish(features={}, prediction=0.5)
        assert (hook.requests, hook.stats().sampled_out) == ([], 1)


def test_a_file_that_cannot_be_used_yet_leaves_the_arguments_rates(tmp_path: Path) -> None:
    """A hook is made all the same, and samples as it was told."""
    file = tmp_path / "rates.toml"
    for text in (None, "rate = 7"):
        if text is not None:
            file.write_text(text)
        with MemoryHook(model="ranker", sampling=Sampling(rate=1.0, file=file)) as hook:
            hook.publish(features={}, prediction=0.5)
            assert len(hook.requests) == 1
