"""docs/testing.md is true: its service and its tests run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "testing.md"


def test_each_block_runs(tmp_path: Path) -> None:
    """Written to files of their names, they are a service with tests that pass."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"```python title=(\S+)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```") / 2
    for name, block in blocks:
        (tmp_path / name).write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quiet", "--rootdir", ".", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
