"""What a rule costs over columns and in SQL, microseconds of CPU a row: python benchmarks/comparators.py."""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa

from shadowlane.comparators import Comparator
from shadowlane.comparators.columns import compare_columns
from shadowlane.comparators.sql import judgement
from shadowlane.errors import SettingsError
from shadowlane.schemas import ShadowComparison
from shadowlane.schemas.columns import arrow_schema

PREDICTION = arrow_schema(ShadowComparison).field("primary_prediction").type
ROWS, CALLS, ROUNDS, TIMES_IN_SQL = 2_000, 20, 7, 100
RANDOM = np.random.default_rng(0)


def predictions(**given: pa.Array) -> pa.StructArray:
    """Predictions of which these parts are given."""
    fields = [PREDICTION.field(index) for index in range(PREDICTION.num_fields)]
    parts = [given.get(field.name, pa.nulls(ROWS, field.type)) for field in fields]
    return pa.StructArray.from_arrays(parts, fields=fields)


def scores() -> pa.StructArray:
    """One for each row."""
    return predictions(score=pa.array(RANDOM.random(ROWS)))


def labels() -> pa.StructArray:
    """One of two, with its confidence."""
    names = RANDOM.choice(["benign", "malign"], ROWS)
    return predictions(label=pa.array(names.tolist()), score=pa.array(RANDOM.random(ROWS)))


def texts() -> pa.StructArray:
    """Sentences of about 40 letters."""
    ends = RANDOM.integers(0, 10**6, ROWS)
    return predictions(label=pa.array([f"The answer to your question is {end}." for end in ends]))


def vectors(width: int) -> pa.StructArray:
    """Distributions."""
    return predictions(vector=pa.array(RANDOM.dirichlet(np.ones(width), ROWS).tolist()))


def rankings() -> pa.StructArray:
    """Ten of twenty items."""
    items = [f"item{number}" for number in range(20)]
    return predictions(ranking=pa.array([RANDOM.permutation(items)[:10].tolist() for _ in range(ROWS)]))


def cases() -> Iterator[tuple[str, str, pa.StructArray, pa.StructArray]]:
    """What is compared, by which rule."""
    yield "scores", "auto", scores(), scores()
    yield "scores", "score:abs=0.01,rel=0.1", scores(), scores()
    yield "labels with scores", "auto", labels(), labels()
    yield "labels with scores", "label:case,space,nfkc", labels(), labels()
    yield "texts of 40 letters", "text:0.9", texts(), texts()
    for width in (10, 384):
        pair = vectors(width), vectors(width)
        for rule in ("auto", "vector:cosine=0.99", "vector:total_variation=0.1"):
            yield f"vectors of {width}", rule, *pair
    ranked = rankings(), rankings()
    for rule in ("auto", "ranking:top=5,overlap=0.8", "ranking:spearman=0.9"):
        yield "rankings of 10", rule, *ranked


def cost(rule: str, primary: pa.StructArray, shadow: pa.StructArray) -> float:
    """The best round's microseconds a row."""
    comparator, best = Comparator.parse(rule), float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            compare_columns(comparator, primary, shadow)
        best = min(best, time.process_time() - begun)
    return best / CALLS / ROWS * 1e6


def cost_in_sql(rule: str, primary: pa.StructArray, shadow: pa.StructArray) -> str:
    """The same of DuckDB, which is given the rows many times over."""
    try:
        sql = judgement(Comparator.parse(rule), column="{side}_prediction.{part}")
    except SettingsError:
        return "none"
    rows = pa.table({"primary_prediction": primary, "shadow_prediction": shadow})
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", pa.concat_tables([rows] * TIMES_IN_SQL))
        connection.execute("CREATE TABLE many AS FROM rows")
        begun = time.process_time()
        query = f"SELECT sum(CAST({sql.agreement} AS INT)), max({sql.difference}) FROM many"  # noqa: S608 (our own text)
        connection.execute(query)
        return f"{(time.process_time() - begun) / ROWS / TIMES_IN_SQL * 1e6:.2f}"


if __name__ == "__main__":
    print("| predictions | rule | columns | SQL |")
    print("|---|---|---|---|")
    for name, rule, primary, shadow in cases():
        in_sql = cost_in_sql(rule, primary, shadow)
        print(f"| {name} | `{rule}` | {cost(rule, primary, shadow):.2f} | {in_sql} |", flush=True)
