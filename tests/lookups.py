"""Look-ups and a model for tests: a model's process imports them by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from shadowlane.replay_worker import RequestContext, TransientError


def fetch(features: Mapping[str, Any], context: RequestContext) -> dict[str, Any]:
    """A history that the primary had not, and an amount that it had; some numbers cannot be looked up."""
    number = features["count"]
    if number % 10 == 3:
        raise TransientError("the feature store is away")
    if number % 10 == 4:
        raise KeyError("no such user")
    if number % 100 == 55 and os.environ.get("LOOKUPS_MAY_CRASH"):
        os.abort()
    amount = features["amount"] + (1.0 if number % 2 else 0.0)
    return {"history": number * 2, "amount": amount, "by": context.request_id if context.shadow else ""}


def predict(features: Mapping[str, Any]) -> float:
    """A model of what was fetched."""
    return float(features["amount"] + features["history"])


class Named:
    """A model that says what it takes."""

    features = ("amount", "history", "nothing")

    def predict_one(self, features: Mapping[str, Any]) -> float:
        """The same."""
        return predict(features)
