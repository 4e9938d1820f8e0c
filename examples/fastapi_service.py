"""A FastAPI service whose every answer is published, and not a line of its handler changed.

Run a Kafka (`shadowlane kafka start`, `shadowlane topics create`), `uvicorn fastapi_service:app`, then
    curl --json '{"user": "user-1", "country": "DE", "amount": 120.5, "night": true}' localhost:8000/predict
"""

from fastapi import FastAPI
from pydantic import BaseModel

from shadowlane.producer import Hook
from shadowlane.producer.asgi import HookMiddleware

hook = Hook(model="fraud", model_version="7")  # where Kafka is, the environment or shadowlane.toml says
app = FastAPI()
app.add_middleware(
    HookMiddleware,
    hook=hook,
    path="/predict",
    features=lambda request: {name: request.json()[name] for name in ("amount", "night")},
    prediction=lambda response: response.json()["fraud"],
    entity_id=lambda request: request.json()["user"],
    segments=lambda request: {"country": request.json()["country"]},
)


class Payment(BaseModel):
    """What the service is asked."""

    user: str
    country: str
    amount: float
    night: bool


@app.post("/predict")
async def predict(payment: Payment) -> dict[str, float]:
    """The primary: whatever answers the users today."""
    return {"fraud": min(1.0, payment.amount / 1000 + 0.2 * payment.night)}
