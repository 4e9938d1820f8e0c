"""A FastAPI service with the hook, as people write them; a server of its tests imports or runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from shadowlane.producer import Hook, Limits

hook = Hook(model="ranker", model_version="7", limits=Limits(ledger_seconds=0.2))


@asynccontextmanager
async def closing_the_hook(_app: FastAPI) -> AsyncIterator[None]:
    """The hook ends with the service."""
    yield
    hook.close()


app = FastAPI(lifespan=closing_the_hook)
#: One whose author thought of no end.
endless = FastAPI()


@endless.post("/predict")
@app.post("/predict")
async def predict(features: dict[str, Any]) -> dict[str, Any]:
    """What half of it is, and which process says so."""
    with hook.observe(features, entity_id=features["user"]) as call:
        call.prediction = features["amount"] / 2
    return {"score": call.prediction, "pid": os.getpid()}


if __name__ == "__main__":
    uvicorn.run(endless, port=int(sys.argv[1]), log_level="warning")
