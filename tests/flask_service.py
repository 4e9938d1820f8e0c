"""A Flask service with the hook, as people write them; a server of its tests imports it by name."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, request

from shadowlane.producer import Hook, Limits

app = Flask(__name__)
hook = Hook(model="ranker", model_version="7", limits=Limits(ledger_seconds=0.2))
for _ in range(int(os.environ.get("REQUESTS_BEFORE_THE_FORK", "0"))):
    hook.publish(features={"amount": 1.0}, prediction=0.5)


@app.post("/predict")
def predict() -> dict[str, Any]:
    """What half of it is, and which process says so."""
    features = request.get_json()
    with hook.observe(features, entity_id=features["user"]) as call:
        call.prediction = features["amount"] / 2
    return {"score": call.prediction, "pid": os.getpid()}
