"""A small service with the hook in it: the three lines that matter are marked.

Run a Kafka (`shadowlane kafka start`, `shadowlane topics create`), then `python examples/service.py`, then

    curl -d '{"user": "user-1", "country": "DE", "features": {"amount": 120.5, "night": true}}' localhost:8000
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shadowlane.producer import Hook

hook = Hook(model="fraud", model_version="7")  # (1) where Kafka is, the environment or shadowlane.toml says


def predict(features: Mapping[str, Any]) -> float:
    """The primary: whatever answers the users today."""
    return min(1.0, float(features["amount"]) / 1000 + 0.2 * bool(features.get("night")))


class Service(BaseHTTPRequestHandler):
    """Answers a POST with the primary's prediction."""

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        features, segments = asked["features"], {"country": asked.get("country")}
        with hook.observe(features, entity_id=asked["user"], segments=segments) as call:  # (2)
            call.prediction = predict(features)  # (3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"fraud": call.prediction}).encode() + b"\n")


if __name__ == "__main__":
    with hook, ThreadingHTTPServer(("127.0.0.1", 8000), Service) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(hook.stats())
