"""What a request costs beside its model: to prepare it, to cut it out and ask, to read the answer.

Processor time of one process, for requests of 20 features in batches of 2,000, with models that do nothing;
the best of some turns.

    python benchmarks/models.py
"""

from __future__ import annotations

import random
import time
from typing import Any

import pyarrow as pa

from shadowlane.replay_worker import FeatureBatch, ModelSource
from shadowlane.replay_worker._plan import InputForm
from shadowlane.replay_worker.models._python import PythonModel
from shadowlane.schemas import Features, ProductionRequest
from shadowlane.schemas.columns import arrow_schema

ROWS, TURNS = 2_000, 15
NAMES = tuple(f"feature_{number}" for number in range(20))
KINDS = ("numbers", "integers", "flags", "strings", "vectors", "json")


def features_of(row: dict[str, object]) -> dict[str, Any]:
    """A request's features, as Arrow takes them."""
    features = Features.of(row)
    return {kind: list(getattr(features, kind).items()) for kind in KINDS} | {"missing": features.missing}


def requests(order: str) -> pa.StructArray:
    """A batch whose requests have their features in the same order, or each in its own."""
    dice = random.Random(1)  # noqa: S311 - no secret
    rows = []
    for number in range(ROWS):
        names = list(NAMES)
        if order == "differ":
            dice.shuffle(names)
        rows.append(features_of(dict.fromkeys(names, number * 0.5)))
    return pa.array(rows, arrow_schema(ProductionRequest).field("features").type)


def microseconds(model: PythonModel, features: pa.StructArray) -> list[float]:
    """For a request: preparing, asking, reading, and all of it."""
    best = [float("inf")] * 4
    for _ in range(TURNS):
        began = time.process_time()
        inputs = model.prepare(FeatureBatch(features))
        prepared = time.process_time()
        answers = [model.one(*model.single(inputs, row)) for row in range(ROWS)]
        asked = time.process_time()
        model.read_each(answers)
        done = time.process_time()
        took = (prepared - began, asked - prepared, done - asked, done - began)
        best = [min(pair) for pair in zip(best, took, strict=True)]
    return [seconds / ROWS * 1e6 for seconds in best]


def main() -> None:
    """Measure each form, for a batch in either order."""
    print(f"{'form':8} {'names':8} {'prepare':>8} {'ask':>8} {'read':>8} {'all':>8}   microseconds a request")
    forms: tuple[InputForm, ...] = ("numpy", "dicts", "arrow", "pandas")
    for order in ("same", "differ"):
        features = requests(order)
        for form in forms:
            model = PythonModel(lambda _features: 0.5, ModelSource("python:-:-", NAMES, form))
            print(f"{form:8} {order:8} " + " ".join(f"{took:8.2f}" for took in microseconds(model, features)))


if __name__ == "__main__":
    main()
