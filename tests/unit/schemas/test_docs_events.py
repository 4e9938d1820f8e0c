"""docs/events.md says what the schemas say, and its example works."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

from shadowlane.schemas import Codec, Prediction, ProductionLabel, contract
from strategies import EVENTS

_ROOT = Path(__file__).parents[3]
_PAGE = (_ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def test_the_page_is_current() -> None:
    """The generated parts are what `docs/generate_events.py` writes."""
    render = runpy.run_path(str(_ROOT / "docs" / "generate_events.py"))["render"]
    assert render(_PAGE) == _PAGE


def test_each_event_has_its_section_and_header() -> None:
    """Each event is on the page with its fields and the ten bytes before its body."""
    for event in EVENTS:
        assert f"\n### {event.__name__}\n" in _PAGE
        assert f"`{contract(event).header.hex(' ')}`" in _PAGE


def test_the_python_example_writes_an_event(tmp_path: Path) -> None:
    """The page's Python code, run as it stands, writes the label that the page shows byte by byte."""
    found = re.search(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    assert found
    script = tmp_path / "example.py"
    script.write_text(f"{found[1]}\nprint(message.hex())\n", encoding="utf-8")
    process = subprocess.run(
        [sys.executable, str(script)], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    message = bytes.fromhex(process.stdout)
    label = Codec(ProductionLabel).decode(message)
    assert (label.request_id, label.label, label.source) == ("r-1", Prediction(score=0.5), "crm")
    shown = re.search(r"```text\n(.*?)```", _PAGE, re.DOTALL)
    assert shown
    assert message == bytes.fromhex("".join(line[:42] for line in shown[1].splitlines()))


def test_links_lead_somewhere() -> None:
    """Each relative link of the page leads to a file."""
    for target in re.findall(r"\]\((\.\.?/[^)#]+)", _PAGE):
        assert (_ROOT / "docs" / target).exists(), target
