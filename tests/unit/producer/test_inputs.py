"""docs/inputs.md row by row, through the hook; and what an input that cannot be sent leaves behind."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from inputs import Colour, Tensor, Verdict
from shadowlane.producer import Hook
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

from .conftest import Taken

_PAGE = (Path(__file__).parents[3] / "docs" / "inputs.md").read_text(encoding="utf-8")
_CANARY = "4111-1111-CANARY"


@dataclass
class Row:
    """The page's dataclass."""

    age: float
    country: str


class Model(BaseModel):
    """The page's pydantic model."""

    age: float
    country: str


class Place(NamedTuple):
    """The page's named tuple."""

    age: float
    country: str


_NAMES = {
    **{each.__name__: each for each in (Row, Model, Place, Colour, Tensor, Verdict, Prediction)},
    **{each.__name__: each for each in (Decimal, UUID, date, datetime, time, timedelta)},
    "UTC": UTC,
    "math": math,
    "np": np,
    "pd": pd,
    "df": pd.DataFrame({"age": [41.5], "country": ["DE"]}),
}


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    [table] = re.findall(rf"\n\| {re.escape(heading)} \|\n\|[-|]+\|\n((?:\|.*\n)+)", _PAGE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def _value(cell: str) -> Any:
    """What the code in a cell stands for."""
    return eval(cell.strip("`"), dict(_NAMES))  # noqa: S307 - our own page


@pytest.mark.parametrize("cell", [cell for _, cell, _ in _rows("features | for instance | in the event")])
def test_what_features_may_be(hook: Hook, taken: Taken, cell: str) -> None:
    """All that has names and values is published as the plain mapping is."""
    hook.publish(features=_value(cell), prediction=None)
    [event] = taken(hook)
    assert event.features.to_dict() == {"age": 41.5, "country": "DE"}


@pytest.mark.parametrize(("cell", "kind", "sent"), _rows("value | map of the event | as"))
def test_what_a_value_becomes(hook: Hook, taken: Taken, cell: str, kind: str, sent: str) -> None:
    """Each value stands in the map that the page says, and nowhere else."""
    hook.publish(features={"x": _value(cell)}, prediction=None)
    [event] = taken(hook)
    filled = {each.name: value for each in fields(Features) if (value := getattr(event.features, each.name))}
    plain = _value(sent)
    assert filled == {kind.strip("`"): ["x"] if plain is None else {"x": plain}}


@pytest.mark.parametrize("cell", [cell for cell, _ in _rows("value | what to do instead")])
def test_what_no_value_is(delivering: Hook, caplog: pytest.LogCaptureFixture, cell: str) -> None:
    """A value that cannot be sent costs its request, and the log says once which feature it was."""
    for _ in range(3):
        delivering.publish(features={"culprit": _value(cell)}, prediction=0.5)
    delivering.publish(features={"x": 1.0}, prediction=0.5)
    assert delivering.flush(20)
    assert (delivering.stats().dropped, delivering.stats().delivered) == ({"not_encodable": 3}, 1)
    [said] = [each.getMessage() for each in caplog.records if "not published" in each.getMessage()]
    assert "culprit" in said


@pytest.mark.parametrize(("cell", "prediction"), _rows("answer | prediction"))
def test_what_a_prediction_may_be(hook: Hook, taken: Taken, cell: str, prediction: str) -> None:
    """Each answer becomes the prediction that the page says."""
    hook.publish(features={}, prediction=_value(cell))
    [event] = taken(hook)
    assert event.prediction == _value(prediction)


@pytest.mark.parametrize("cell", [cell for cell, _ in _rows("answer | what to do instead")])
def test_what_no_prediction_is(delivering: Hook, caplog: pytest.LogCaptureFixture, cell: str) -> None:
    """An answer that is no prediction costs its request, and the log says what was wrong."""
    delivering.publish(features={}, prediction=_value(cell))
    assert delivering.flush(20)
    assert delivering.stats().dropped == {"not_encodable": 1}
    [said] = [each.getMessage() for each in caplog.records if "not published" in each.getMessage()]
    assert "NoFormError: a prediction" in said


@pytest.mark.parametrize("nothing", [None, pd.NA])
def test_a_request_without_an_answer(hook: Hook, taken: Taken, nothing: object) -> None:
    """No prediction, or pandas' way to say so, publishes the request alone."""
    hook.publish(features={}, prediction=nothing)
    [event] = taken(hook)
    assert event.prediction is None


def test_a_value_that_fails_when_it_is_read_is_named(
    delivering: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    """A foreign `tolist` that raises is no error of the service; the log says which feature it was."""
    delivering.publish(features={"culprit": [Leaky()]}, prediction=0.5)
    delivering.close(20)
    assert delivering.stats().dropped == {"not_encodable": 1}
    assert "features 'culprit': a value of type Leaky cannot be sent (reading it: ValueError)" in caplog.text


def test_columns_read_each_value_as_one_at_a_time_does(hook: Hook, taken: Taken) -> None:
    """All rows of the page in one request: decoded as columns and written again, the same bytes."""
    rows = _rows("value | map of the event | as")
    features = {f"row {number}": _value(cell) for number, (cell, *_) in enumerate(rows)}
    for answer, _ in _rows("answer | prediction"):
        hook.publish(features=features, prediction=_value(answer))
    messages = list(map(Codec(ProductionRequest).encode, taken(hook)))
    columns = ColumnCodec(ProductionRequest)
    decoded = columns.decode(messages)
    assert len(messages) == len(decoded.kept) > 10
    assert columns.encode(decoded.batch) == messages


class Leaky:
    """Says its secret whenever it is asked for anything."""

    def __str__(self) -> str:
        return _CANARY

    __repr__ = __str__

    def tolist(self) -> object:
        """Raise, with the secret in the error's text."""
        raise ValueError(_CANARY)


@pytest.mark.parametrize(
    "features",
    [
        {"x": Leaky()},
        {"x": [Leaky()]},
        {"x": {"nested": {Leaky(): 1}}},
        {"x": {_CANARY, 1}},
        {"x": _CANARY.encode()},
        {"x": [_CANARY, object()]},
        {"x": _CANARY + "\ud800"},
        {"x": ["\udfff" + _CANARY]},
        {Leaky(): 1},
        {(_CANARY,): 1},
        [_CANARY],
        _CANARY,
    ],
)
@pytest.mark.parametrize("where", ["features", "prediction"])
def test_no_value_gets_into_the_log(
    delivering: Hook, caplog: pytest.LogCaptureFixture, features: Any, where: str
) -> None:
    """Whatever is wrong with features or a prediction, the log does not say what was in them."""
    given: dict[str, Any] = {"features": {"x": 1.0}, "prediction": 0.5}
    given[where] = features
    if where == "prediction" and not isinstance(features, str):
        given[where] = list(features.values()) if isinstance(features, dict) else [*features, 1]
    delivering.publish(**given)
    delivering.close(20)
    assert ("not published" in caplog.text) == (delivering.stats().dropped == {"not_encodable": 1})
    assert _CANARY not in caplog.text
