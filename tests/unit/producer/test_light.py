"""What importing the hook loads: the two libraries of the base install, and little besides."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import confluent_kafka, fastavro
before = set(sys.modules)
import shadowlane.producer
print(*sorted(set(sys.modules) - before))
"""
#: Of the standard library: what takes milliseconds or starts something. In part the libraries load it.
HEAVY = {
    "asyncio",
    "ctypes.util",
    "doctest",
    "email",
    "http",
    "logging.config",
    "multiprocessing",
    "pdb",
    "pydoc",
    "sqlite3",
    "ssl",
    "tarfile",
    "unittest",
    "urllib.request",
    "uuid",
    "xml",
    "zipfile",
}
#: What a service imports by name where it wants it.
BY_NAME = ("asgi", "prometheus", "testing", "wsgi")


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that a fresh interpreter loads for the hook, over those of the two libraries."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_else_is_installed_for_it(loaded: set[str]) -> None:
    """Whatever else lies in the environment stays where it is."""
    packages = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages <= {"confluent_kafka", "fastavro", "shadowlane"}


def test_nothing_heavy_of_pythons_own(loaded: set[str]) -> None:
    """What a service may never need is loaded where it is needed."""
    assert loaded & HEAVY == set()


def test_no_other_stage_of_ours(loaded: set[str]) -> None:
    """Neither another stage, nor what a service asks for by name."""
    ours = {name.split(".")[1] for name in loaded if name.startswith("shadowlane.")}
    assert ours <= {"comparators", "errors", "kafka", "process", "producer", "schemas", "settings"}
    assert loaded.isdisjoint(f"shadowlane.producer.{name}" for name in BY_NAME)
