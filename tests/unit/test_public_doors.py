"""Each package has one public door, `__all__`, and the base ones open with nothing that an extra brings."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import shadowlane

_ROOT = Path(shadowlane.__file__).parent
#: The packages, and `columns`, which is what of the schemas needs an extra.
_DOORS = (
    *sorted(
        module.name
        for module in pkgutil.walk_packages([str(_ROOT)], "shadowlane.")
        if module.ispkg and "._" not in module.name
    ),
    "shadowlane.schemas.columns",
)
_HEAVY = {
    "deltalake",
    "duckdb",
    "fastapi",
    "flask",
    "jinja2",
    "mlflow",
    "numpy",
    "onnxruntime",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "pyruhvro",
    "rapidfuzz",
    "rich",
    "scipy",
    "sklearn",
    "skops",
    "starlette",
    "tenacity",
    "typer",
}
_BASE = (
    "shadowlane",
    "shadowlane.cli",
    "shadowlane.comparators",
    "shadowlane.errors",
    "shadowlane.kafka",
    "shadowlane.producer",
    "shadowlane.producer.asgi",
    "shadowlane.producer.testing",
    "shadowlane.producer.wsgi",
    "shadowlane.schemas",
    "shadowlane.settings",
)


def _exported(door: str) -> list[str]:
    return list(getattr(importlib.import_module(door), "__all__", []))


@pytest.mark.parametrize("door", _DOORS)
def test_a_door_lists_what_it_exposes(door: str) -> None:
    """`__all__` is sorted, names each public thing that the door imports, and nothing else."""
    module = importlib.import_module(door)
    exported = _exported(door)
    assert exported == sorted(set(exported), key=_constants_then_classes_then_functions)
    assert [name for name in exported if not hasattr(module, name)] == []
    assert set(exported) == _bound(Path(inspect.getfile(module)))


def _constants_then_classes_then_functions(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), not name[0].isupper(), name


def _bound(path: Path) -> set[str]:
    """The public names that a module's own text binds: imported from shadowlane, or defined."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    for each in [each for each in statements if isinstance(each, ast.Try)]:
        statements += each.body
    names: set[str] = set()
    for statement in statements:
        match statement:
            case ast.ImportFrom(module=str(source), names=aliases) if source.startswith("shadowlane"):
                names |= {alias.asname or alias.name for alias in aliases}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
    return {name for name in names if not name.startswith("_") and name != "MissingExtraError"}


@pytest.mark.parametrize("door", _DOORS)
def test_what_a_door_exposes_is_described(door: str) -> None:
    """Each door and each class and function behind it has a docstring."""
    module = importlib.import_module(door)
    assert module.__doc__
    for name in _exported(door):
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{door}.{name}"


@pytest.mark.parametrize("door", _BASE)
def test_the_base_doors_open_without_extras(door: str) -> None:
    """Importing what the base install offers loads nothing that an extra would have to bring."""
    code = f"import json, sys, {door}; print(json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(process.stdout)}
    assert loaded & _HEAVY == set()


def test_the_package_itself_is_feather_light() -> None:
    """`import shadowlane` alone loads nothing at all but itself."""
    code = (
        "import sys; before = set(sys.modules); import shadowlane; print(*sorted(set(sys.modules) - before))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["shadowlane"]


@pytest.mark.parametrize(
    ("door", "missing", "extra"),
    [
        ("shadowlane.schemas.columns", "pyruhvro", "worker"),
        ("shadowlane.schemas.columns", "pyarrow", "worker"),
    ],
)
def test_a_door_without_its_extra_says_what_to_install(door: str, missing: str, extra: str) -> None:
    """Where an extra is absent, its door raises a MissingExtraError that names the extra."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
from shadowlane.errors import MissingExtraError
try:
    import {door}
except MissingExtraError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.rstrip().endswith(f"needs an extra: pip install 'shadowlane[{extra}]'")
