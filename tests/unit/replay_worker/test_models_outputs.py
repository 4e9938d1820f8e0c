"""What models answer, read as predictions: each form, alone and together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_support import predictions, same
from shadowlane.errors import ModelError
from shadowlane.replay_worker.models._outputs import read_table, read_tables
from shadowlane.schemas import Prediction

LABELS = [Prediction(label="x"), Prediction(label="y")]
SCORES = [Prediction(score=0.5), Prediction(score=1.5)]
VECTORS = [Prediction(vector=[1.0, 2.0]), Prediction(vector=[3.0, 4.0])]
RANKINGS = [Prediction(ranking=["a", "b"]), Prediction(ranking=["c", "d"])]
BOTH = [Prediction(label="x", score=0.5), Prediction(label="y", score=1.5)]
PAIR = {"label": ["x", "y"], "score": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([0.5, 1.5], SCORES),
        ((0.5, 1.5), SCORES),
        (np.array([0.5, 1.5]), SCORES),
        (np.array([0.5, 1.5], np.float32), SCORES),
        (np.array([0.5, 1.5], np.float16), SCORES),
        (np.array([0.5, 1.5], object), SCORES),
        (pd.Series([0.5, 1.5], index=[7, 9]), SCORES),
        (pa.array([0.5, 1.5]), SCORES),
        (pa.chunked_array([[0.5], [1.5]]), SCORES),
        (pd.DataFrame({"any": [0.5, 1.5]}), SCORES),
        (pd.DataFrame({"score": [0.5, 1.5]}), SCORES),
        (np.array(["x", "y"]), LABELS),
        (pd.Series(["x", "y"]), LABELS),
        (pd.DataFrame({"any": ["x", "y"]}), LABELS),
        (np.array([3, 7]), [Prediction(label="3"), Prediction(label="7")]),
        (np.array([3, 7], np.uint8), [Prediction(label="3"), Prediction(label="7")]),
        (np.array([True, False]), [Prediction(label="true"), Prediction(label="false")]),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), VECTORS),
        (np.array([[1, 2], [3, 4]]), VECTORS),
        (np.array([[1, 2], [3, 4]], order="F"), VECTORS),
        ([[1.0, 2.0], [3.0, 4.0]], VECTORS),
        (pd.DataFrame({"a": [1.0, 3.0], "b": [2, 4]}), VECTORS),
        (
            np.array([["a", "b"], ["b", "a"]]),
            [Prediction(ranking=["a", "b"]), Prediction(ranking=["b", "a"])],
        ),
        (PAIR, BOTH),
        ({"label": np.array(["x", "y"]), "score": pd.Series([0.5, 1.5])}, BOTH),
        (pd.DataFrame(PAIR, index=[5, 5]), BOTH),
        (pa.table(PAIR), BOTH),
        (pa.RecordBatch.from_pydict(PAIR), BOTH),
        ([{"label": "x", "score": 0.5}, {"label": "y", "score": 1.5}], BOTH),
    ],
)
def test_a_batchs_answers_in_any_form_are_one_for_each_request(
    answers: Any, expected: list[Prediction]
) -> None:
    """Lists, arrays, columns and tables; and each row alone as a table of one."""
    same(predictions(read_table(answers, 2)), expected)
    if hasattr(answers, "iloc"):
        alone = [answers.iloc[row : row + 1] for row in (0, 1)]
    elif isinstance(answers, (pa.Table, pa.RecordBatch)):
        alone = [answers.slice(row, 1) for row in (0, 1)]
    elif isinstance(answers, dict):
        alone = [{name: column[row : row + 1] for name, column in answers.items()} for row in (0, 1)]
    else:
        alone = [answers[row : row + 1] for row in (0, 1)]
    same(predictions(read_tables(alone)), expected)
    assert len(read_tables([])) == 0


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (0.5, "predict gave a float, not an answer to each request"),
        ("yes", "predict gave a str"),
        (None, "predict gave a NoneType"),
        ([0.5], "2 requests, but predict gave 1 answers"),
        (np.zeros((3, 2)), "2 requests, but predict gave 3 answers"),
        ({"label": ["x", "y"], "score": [0.5]}, "an item for each request"),
        ({"probability": [0.5, 0.5]}, "predict gave columns probability: name them label"),
        (pd.DataFrame({"label": ["x", "y"], "why": ["a", "b"]}), "predict gave columns label, why"),
        ({}, "name them label, score, vector or ranking"),
    ],
)
def test_what_does_not_answer_each_request_is_an_error_that_says_what_would(answers: Any, words: str) -> None:
    """A model that answers fewer or more is not believed, nor are columns that say nothing."""
    with pytest.raises(ModelError, match=words):
        read_table(answers, 2)
