"""Batches of features for models, and their answers asked for in every way there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest

from shadowlane.replay_worker import FeatureBatch
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.schemas import Features, Prediction, ProductionRequest, to_record
from shadowlane.schemas.columns import arrow_schema
from tests_support import request

FEATURES = arrow_schema(ProductionRequest).field("features").type


def batch_of(rows: Sequence[Mapping[str, object]], context: pa.RecordBatch | None = None) -> FeatureBatch:
    """The features of some requests, as they are decoded from their messages."""
    records = [to_record(request(features=Features.of(row)))["features"] for row in rows]
    plain = [
        {kind: list(value.items()) if isinstance(value, dict) else value for kind, value in record.items()}
        for record in records
    ]
    return FeatureBatch(pa.array(plain, FEATURES), context)


def predictions(column: pa.StructArray) -> list[Prediction]:
    """A column of predictions, one by one."""
    return [Prediction(**each) for each in column.to_pylist()]


def asked(model: LoadedModel, batch: FeatureBatch, tolerance: float = 1e-9) -> list[Prediction]:
    """What the model answers to a batch, once it has answered the same to each request alone."""
    inputs, rows = model.prepare(batch), range(len(batch))
    together = predictions(model.read_many(model.many(inputs), len(batch)))
    cut_out = [model.one(*model.single(inputs, row)) for row in rows]
    in_place = [model.one(inputs, row) for row in rows]
    prepared_alone = [model.one(model.prepare(batch.take([row])), 0) for row in rows]
    for answers in (cut_out, in_place, prepared_alone):
        same(predictions(model.read_each(answers)), together, tolerance)
    return together


def same(found: Sequence[Prediction], expected: Sequence[Prediction], tolerance: float = 1e-9) -> None:
    """The same labels and rankings, and numbers that differ by rounding only."""
    assert [(each.label, each.ranking) for each in found] == [(each.label, each.ranking) for each in expected]
    for part in ("score", "vector"):
        for one, other in zip(found, expected, strict=True):
            wanted = getattr(other, part)
            assert getattr(one, part) == (
                wanted if wanted is None else pytest.approx(wanted, rel=tolerance, abs=tolerance, nan_ok=True)
            )
