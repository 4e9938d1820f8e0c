"""A Flask service whose every answer is published, and not a line of its handler changed.

Run a Kafka (`shadowlane kafka start`, `shadowlane topics create`), `flask --app flask_service run`, then

    curl --json '{"user": "user-1", "country": "DE", "amount": 120.5, "night": true}' localhost:5000/predict
"""

from __future__ import annotations

from flask import Flask, request

from shadowlane.producer import Hook
from shadowlane.producer.wsgi import HookMiddleware

hook = Hook(model="fraud", model_version="7")  # where Kafka is, the environment or shadowlane.toml says
app = Flask(__name__)
app.wsgi_app = HookMiddleware(  # type: ignore[method-assign]
    app.wsgi_app,
    hook=hook,
    path="/predict",
    features=lambda request: {name: request.json()[name] for name in ("amount", "night")},
    prediction=lambda response: response.json()["fraud"],
    entity_id=lambda request: request.json()["user"],
    segments=lambda request: {"country": request.json()["country"]},
)


@app.post("/predict")
def predict() -> dict[str, float]:
    """The primary: whatever answers the users today."""
    payment = request.get_json()
    return {"fraud": min(1.0, payment["amount"] / 1000 + 0.2 * payment["night"])}
