"""docs/sampling.md's code in other languages decides as we do, on each key of docs/sampling-vectors.json."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shadowlane.producer import Sampling, is_sampled, position

_DOCS = Path(__file__).parents[3] / "docs"
_FILE = json.loads((_DOCS / "sampling-vectors.json").read_text("utf-8"))
_VECTORS: Sequence[Mapping[str, Any]] = _FILE["vectors"]
_EXPECTED = [(each["position"], each["sampled"]) for each in _VECTORS]

_NODE = """
const { rates, vectors } = JSON.parse(require("node:fs").readFileSync(process.argv[2], "utf8"));
const decided = vectors.map(({ key }) => [position(key), rates.map((rate) => isSampled(key, rate))]);
console.log(JSON.stringify(decided));
"""
# Rates come as an argument, keys in base64 on standard input: the JDK reads no JSON.
_JAVA = """
class Vectors {
  public static void main(String[] arguments) throws Exception {
    String[] rates = arguments[0].split(",");
    var in = new java.util.Scanner(System.in);
    while (in.hasNextLine()) {
      byte[] utf8 = java.util.Base64.getDecoder().decode(in.nextLine());
      String key = new String(utf8, java.nio.charset.StandardCharsets.UTF_8);
      var decided = new StringBuilder("[" + position(key) + ", [");
      for (int i = 0; i < rates.length; i++)
        decided.append(i > 0 ? "," : "").append(isSampled(key, Double.parseDouble(rates[i])));
      System.out.println(decided.append("]]"));
    }
  }
"""


def _snippet(language: str) -> str:
    """The page's last code in a language (the first in Python makes a hook)."""
    page = (_DOCS / "sampling.md").read_text("utf-8")
    return str(re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[-1])


def _run(*command: str, text: str = "") -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def test_the_vectors_are_what_we_decide() -> None:
    """The file is what its generator writes now, and reading it gives back each position exactly."""
    render = runpy.run_path(str(_DOCS / "generate_sampling_vectors.py"))["render"]
    assert (_DOCS / "sampling-vectors.json").read_text("utf-8") == render()
    for each in _VECTORS:
        assert position(each["key"]) == each["position"]
        assert [is_sampled(each["key"], rate) for rate in _FILE["rates"]] == each["sampled"]


def test_each_rate_has_a_key_on_either_side() -> None:
    """Between 0 and 1, each rate of the file decides two keys that lie within a ten-thousandth of it."""
    for index, rate in list(enumerate(_FILE["rates"]))[1:-1]:
        near = {each["sampled"][index] for each in _VECTORS if abs(each["position"] - rate) < 1e-4}
        assert near == {True, False}, rate


def test_python_alone() -> None:
    """The page's Python needs nothing of ours."""
    names: dict[str, Any] = {}
    exec(_snippet("python"), names)  # noqa: S102 (our own documentation)
    for each in _VECTORS:
        assert names["position"](each["key"]) == each["position"]
        assert [names["is_sampled"](each["key"], rate) for rate in _FILE["rates"]] == each["sampled"]


def test_duckdb() -> None:
    """The page's SQL finds the same positions."""
    page = (_DOCS / "sampling.md").read_text("utf-8")
    macro = re.search(r"create macro .*;", page)
    assert macro
    with duckdb.connect() as connection:
        connection.execute(macro[0])
        for each in _VECTORS:
            found = connection.execute("select position_of(?)", [each["key"]]).fetchone()
            assert found == (each["position"],)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
def test_javascript(tmp_path: Path) -> None:
    """The page's JavaScript finds the same positions and decides the same."""
    script = tmp_path / "vectors.js"
    script.write_text(_snippet("javascript") + _NODE, "utf-8")
    answer = _run("node", str(script), str(_DOCS / "sampling-vectors.json"))
    assert [tuple(each) for each in json.loads(answer)] == _EXPECTED


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK here")
def test_java(tmp_path: Path) -> None:
    """The page's Java finds the same positions and decides the same."""
    source = tmp_path / "Vectors.java"
    source.write_text(_JAVA + _snippet("java") + "}\n", "utf-8")
    keys = "".join(b64encode(each["key"].encode()).decode() + "\n" for each in _VECTORS)
    answer = _run("java", str(source), ",".join(map(str, _FILE["rates"])), text=keys)
    assert [tuple(json.loads(line)) for line in answer.splitlines()] == _EXPECTED


def test_the_page_makes_a_hook() -> None:
    """Its first example runs as it stands, and says what its table says."""
    page = (_DOCS / "sampling.md").read_text("utf-8")
    first = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert first
    names: dict[str, Any] = {}
    exec(first[1], names)  # noqa: S102 (our own documentation)
    names["hook"].close()
    table = re.search(r"\| \| meaning \| by default \|\n(.*?)\n\n", page, re.DOTALL)
    assert table
    assert re.findall(r"^\| `(\w+)`", table[1], re.MULTILINE) == [each.name for each in fields(Sampling)]


def test_links_lead_somewhere() -> None:
    """Each relative link of the page leads to a file."""
    for target in re.findall(r"\]\(([^)#]+)", (_DOCS / "sampling.md").read_text("utf-8")):
        assert (_DOCS / target).exists(), target
