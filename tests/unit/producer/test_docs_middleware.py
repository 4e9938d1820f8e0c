"""docs/middleware.md: its blocks run, and its options are those that there are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask, request

from shadowlane.producer import asgi, wsgi

from .exchanges import published
from .test_asgi import post

_PAGE = (Path(__file__).parents[3] / "docs" / "middleware.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch, still: None) -> Any:
    """The names that are there after so many blocks."""
    monkeypatch.setenv("SHADOWLANE_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    def after(blocks: int) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "service"}
        for block in _BLOCKS[:blocks]:
            exec(block, names)  # noqa: S102 (what a reader would do)
        return names

    return after


def test_three_lines_for_fastapi(after: Any) -> None:
    """A service with them publishes."""
    names = after(1)
    app: FastAPI = names["app"]

    @app.post("/predict")
    async def predict(asked: dict[str, Any]) -> dict[str, float]:
        return {"score": asked["features"]["amount"] / 2}

    assert post(app, asked={"features": {"amount": 3.0}}).json() == {"score": 1.5}
    assert [event.features.numbers for event in published(names["hook"])] == [{"amount": 3.0}]


def test_three_lines_for_flask_and_all_options(after: Any) -> None:
    """One middleware around the other, each for its own path."""
    names = after(len(_BLOCKS))
    app: Flask = names["app"]

    @app.post("/<path:path>")
    def predict(path: str) -> dict[str, float]:
        return {"score": float(len(request.get_data()))}

    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://service") as client:
        for path in ("/predict", "/models/a/predict", "/v1/rank", "/other"):
            client.post(path, json={"user": "user-1", "features": {}}).raise_for_status()
    events = published(names["hook"])
    assert [event.segments for event in events] == [{}, {"variant": "a"}, {"variant": "rank"}]


def test_the_options_are_all_there() -> None:
    """The table names each one of both middlewares."""
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", _PAGE, re.MULTILINE))))
    options = set(inspect.signature(asgi.HookMiddleware).parameters) - {"app", "hook"}
    assert named == options
    assert set(inspect.signature(wsgi.HookMiddleware).parameters) - {"app", "hook"} == options - {"close"}
