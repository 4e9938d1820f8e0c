"""The look-ups of docs/fetch.md, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asked import asked
from shadowlane.replay_worker import ModelSource
from shadowlane.replay_worker.models._fetch import load_fetcher

PAGE = Path(__file__).parents[3] / "docs" / "fetch.md"


@pytest.mark.parametrize(
    ("module", "attribute", "found"),
    [
        ("history", "fetch", {"orders": 12, "orders_per_visit": 3.0}),
        ("store", "History", {"orders": 12}),
    ],
)
def test_the_look_ups_of_the_page(
    module: str, attribute: str, found: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They find what the store has, and a user that it has not is an error of that request."""
    block = re.search(
        rf"^```python title={module}\.py\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert block
    (tmp_path / f"looked_up_{module}.py").write_text(block[1])
    monkeypatch.syspath_prepend(tmp_path)
    fetcher = load_fetcher(ModelSource("", fetch=f"python:looked_up_{module}:{attribute}"))
    assert fetcher is not None
    for user, is_known in (("user-1", True), ("user-9", False)):
        looked = fetcher.run(asked({"visits": 4}, entity_id=user))
        assert looked.batch.dicts() == ([{"visits": 4, **found}] if is_known else [])
        assert [failure.error_type for _, failure in looked.failures] == ([] if is_known else ["KeyError"])
