"""docs/lake.md says what the tables are, and the code of docs/engines.md runs as it stands."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from golden.generate import GOLDEN
from lake_rows import rows_of
from shadowlane.lake import COMPARISONS, TABLES, LakeTable

_ROOT = Path(__file__).parents[3]
_DOCS = _ROOT / "docs"
_PAGES = ("lake.md", "engines.md", "decisions/0016-files-of-our-own.md")


def test_the_page_is_current() -> None:
    """The generated part is what `docs/generate_lake.py` writes."""
    page = (_DOCS / "lake.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(_DOCS / "generate_lake.py"))["render"](page) == page


def test_every_column_of_every_table_has_a_meaning() -> None:
    """Each table has its section, and each column its line with something in its last field."""
    page = (_DOCS / "lake.md").read_text(encoding="utf-8")
    for spec in TABLES:
        section = page.partition(f"\n### {spec.name}\n")[2].partition("\n### ")[0]
        for name in spec.schema.names:
            assert re.search(rf"^\| `{name}` \| [^|]+ \| [^|]{{5,}} \|$", section, re.MULTILINE), name


@pytest.mark.parametrize("page", _PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each relative link leads to a file."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        assert (_DOCS / page).parent.joinpath(target).exists(), target


def test_the_code_for_duckdb_runs(tmp_path: Path) -> None:
    """The page's code, beside a lake, prints each model and shadow with its comparisons."""
    messages = [(GOLDEN / f"shadow_comparison.3{kind}.bin").read_bytes() for kind in ("", ".bare")]
    LakeTable(tmp_path / "lake", COMPARISONS).append(rows_of(COMPARISONS, messages), {"t-0": 2})
    [code] = re.findall(r"```python\n(import duckdb.*?)```", (_DOCS / "engines.md").read_text(), re.DOTALL)
    code = code.replace("duckdb.sql(", "found = duckdb.sql(") + "print(sorted(found.fetchall()))\n"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.stdout == "[('m', 's', 1, 0.0), ('ranker', 'ranker-boosted', 1, 1.0)]\n", run.stderr
