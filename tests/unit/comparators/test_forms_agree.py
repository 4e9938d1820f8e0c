"""One pair, columns and SQL: each rule is one definition in three forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowlane.comparators import Comparator, Outcome
from shadowlane.comparators.columns import compare_columns
from shadowlane.comparators.sql import judgement
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction
from unit.comparators import pairs
from unit.comparators.pairs import Pair

rows = st.lists(st.tuples(pairs.pairs, pairs.segments), max_size=8)
Rows = list[tuple[Pair, Mapping[str, str]]]


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory."""
    with duckdb.connect(":memory:") as connection:
        yield connection


@settings(max_examples=300, deadline=None)
@given(rule=pairs.rules, given_rows=rows)
def test_columns_judge_as_one_pair_does(rule: Comparator, given_rows: Rows) -> None:
    """Each row of the columnar form is what the one-pair form says, to the last bit."""
    given_pairs, segments = [pair for pair, _ in given_rows], [each for _, each in given_rows]
    expected = pairs.one_at_a_time(rule, given_pairs, segments)
    found = pairs.columns(rule, given_pairs, segments)
    assert list(map(Outcome, *(each.to_pylist() for each in found[:3]))) == expected
    assert found.is_disagreement.to_pylist() == [each.is_disagreement for each in expected]


@settings(max_examples=300, deadline=None)
@given(rule=pairs.rules_in_sql, given_rows=rows)
def test_sql_judges_as_one_pair_does(
    engine: duckdb.DuckDBPyConnection, rule: Comparator, given_rows: Rows
) -> None:
    """Each row that DuckDB judges is what the one-pair form says, to the last bit."""
    given_pairs, segments = [pair for pair, _ in given_rows], [each for _, each in given_rows]
    expected = pairs.one_at_a_time(rule, given_pairs, segments)
    assert pairs.by_duckdb(engine, rule, given_pairs, segments) == expected


@pytest.mark.parametrize("measure", ["euclidean", "cosine", "total_variation", "hellinger"])
def test_long_vectors_are_added_up_in_one_order(engine: duckdb.DuckDBPyConnection, measure: str) -> None:
    """Longer than the engine's and NumPy's blocks, where another order of addition would show."""
    draw = np.random.default_rng(1)
    vectors = [Prediction(vector=draw.dirichlet(np.ones(5_000)).tolist()) for _ in range(8)]
    rule, given_pairs = Comparator.parse(f"vector:{measure}=0.5"), list(pairwise(vectors))
    expected = pairs.one_at_a_time(rule, given_pairs, [{}] * 7)
    assert pairs.by_columns(rule, given_pairs, [{}] * 7) == expected
    assert pairs.by_duckdb(engine, rule, given_pairs, [{}] * 7) == expected


@pytest.mark.parametrize("text", ["auto", "vector:cosine=0.5", "ranking:top=2", "ranking:overlap=0.5"])
def test_a_slice_of_a_batch_is_judged_as_itself(text: str) -> None:
    """Arrow's slices share the whole batch's memory; no row of another's is looked at."""
    primary = [Prediction(vector=[n, 1.0], ranking=[str(n), "x"]) for n in range(6)]
    shadow = [Prediction(vector=[5.0 - n, 1.0], ranking=[str(n % 3), "x"]) for n in range(6)]
    whole = compare_columns(Comparator.parse(text), pairs.column(primary), pairs.column(shadow))
    part = compare_columns(
        Comparator.parse(text), pairs.column(primary).slice(2, 3), pairs.column(shadow).slice(2, 3)
    )
    for column, sliced in zip(whole, part, strict=True):
        assert sliced.to_pylist() == column.to_pylist()[2:5]
        sliced.validate(full=True)


def test_sql_over_structs(engine: duckdb.DuckDBPyConnection) -> None:
    """Columns may be called otherwise, as in the events."""
    events = pa.table(  # noqa: F841 (the engine reads it by its name)
        {
            "primary_prediction": pairs.column([Prediction(score=0.5), Prediction(score=0.5)]),
            "shadow_prediction": pairs.column([Prediction(score=0.505), Prediction(score=0.6)]),
        }
    )
    sql = judgement(Comparator.parse("score:0.01"), column="{side}_prediction.{part}")
    assert engine.execute(f"SELECT {sql.agreement} FROM events").fetchall() == [(True,), (False,)]  # noqa: S608 (our own text)


@pytest.mark.parametrize("measure", ["largest", "cosine", "euclidean", "total_variation", "hellinger"])
def test_columns_of_the_readers_own_are_not_in_the_way(
    engine: duckdb.DuckDBPyConnection, measure: str
) -> None:
    """A table may have columns, and an alias, of any short name."""
    sql = judgement(Comparator.parse(f"vector:{measure}=0.5"))
    query = f"""
        SELECT {sql.agreement} FROM (
          SELECT [0.5e0, 0.5e0] AS primary_vector, [0.5e0, 0.5e0] AS shadow_vector, NULL AS segments,
            1 AS a, 2 AS b, 3 AS c, 4 AS d, 5 AS g, 6 AS i, 7 AS s, 8 AS v, 9 AS x
        ) AS v
    """  # noqa: S608 (our own text)
    assert engine.execute(query).fetchall() == [(True,)]


def test_a_quote_in_a_rule_stays_in_its_text(engine: duckdb.DuckDBPyConnection) -> None:
    """What a user ignores is a value to the engine, never a part of the statement."""
    rule = Comparator.of(["auto"], ["label=a' OR true --", "segment.it's={x}"])
    given_pairs = [(Prediction(label="a' OR true --"), Prediction(label="b"))] * 2
    segments = [{}, {"it's": "{x}"}]
    expected = pairs.one_at_a_time(rule, given_pairs, segments)
    assert [each.comparator for each in expected] == ["ignored:label=a' OR true --"] * 2
    assert pairs.by_duckdb(engine, rule, given_pairs, segments) == expected


@pytest.mark.parametrize("text", ["label:case", "text:0.9", "python:unit.comparators.own_rules:even"])
def test_what_has_no_form_in_sql_says_so(text: str) -> None:
    """Rather than to judge by another rule, the error names the one that cannot be."""
    with pytest.raises(SettingsError, match=f"{text}.* has no form in SQL"):
        judgement(Comparator.parse(text))
