"""The two services of docs/router.md, run as they stand there, but for Kafka."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

import shadowlane.producer
from shadowlane.producer import RouterStats
from shadowlane.producer.testing import MemoryHook

_PAGE = Path(__file__).parents[3] / "docs" / "router.md"
GENEROUS = 20.0


@pytest.fixture
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's service under this heading defines."""
    monkeypatch.setattr(shadowlane.producer, "Hook", MemoryHook)
    found = re.search(
        rf"^## {request.param}\n+```python\n(.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found
    # As the module that it would be: FastAPI looks up the names of annotations there.
    names: dict[str, Any] = {"__name__": "service"}
    exec(found[1], names)  # noqa: S102 (our own page)
    return names


@pytest.mark.parametrize("service", ["FastAPI"], indirect=True)
def test_the_fastapi_service(service: dict[str, Any]) -> None:
    """It answers, publishes a quarter, compares that, and closes both when it ends."""

    async def use() -> None:
        app = service["app"]
        client = AsyncClient(transport=ASGITransport(app), base_url="http://service")
        async with app.router.lifespan_context(app), client:
            for number in range(100):
                user, features = f"user-{number}", {"amount": 10.0 * number}
                answer = await client.post("/predict", params={"user": user}, json=features)
                assert answer.json() == {"score": number / 100}
            refused = await client.post("/predict", params={"user": "u"}, json={"amount": "much"})
            assert refused.status_code == 422

    asyncio.run(use())
    hook: MemoryHook = service["hook"]
    assert len(hook.requests) == len(hook.comparisons) > 0
    assert hook.stats().sampled_out == 100 - len(hook.requests)
    assert service["router"].stats() == RouterStats(taken=len(hook.requests), compared=len(hook.requests))


@pytest.mark.parametrize("service", ["Flask"], indirect=True)
def test_the_flask_service(service: dict[str, Any]) -> None:
    """It answers, publishes and compares."""
    client = service["app"].test_client()
    for number in range(100):
        answer = client.post(f"/predict?user=user-{number % 7}", json={"amount": 10.0 * number})
        assert answer.get_json() == {"score": number / 100}
    hook: MemoryHook = service["hook"]
    with hook:
        service["router"].close(timeout=GENEROUS)
        assert len(hook.requests) == len(hook.comparisons) == 100
