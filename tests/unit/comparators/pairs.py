"""Random rules and pairs of predictions, and each of the three forms applied to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from shadowlane.comparators import Comparator, Outcome
from shadowlane.comparators.columns import Outcomes, compare_columns
from shadowlane.comparators.sql import judgement
from shadowlane.schemas import Prediction, ShadowComparison
from shadowlane.schemas.columns import arrow_schema

PREDICTION = arrow_schema(ShadowComparison).field("primary_prediction").type
SEGMENTS = arrow_schema(ShadowComparison).field("segments").type

_EDGES = (0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 5e-324, 1.8e-308, 1.7e308, -1.7e308, 0.05, 0.1)
numbers = st.sampled_from(_EDGES) | st.floats(-2, 2) | st.floats()
_forms = ["a", "A", " a ", "b", "1", "true", "", "ß", "SS", "\uff41", "\u00e9", "e\u0301"]
texts = st.sampled_from(_forms) | st.text(max_size=6)
_items = st.sampled_from("vwxyz")
distributions = st.lists(st.floats(0, 1), min_size=1, max_size=4).map(
    lambda parts: [part / (sum(parts) or 1.0) for part in parts]
)
predictions = st.builds(
    Prediction,
    score=st.none() | numbers,
    label=st.none() | texts,
    vector=st.none() | st.lists(numbers, max_size=4) | distributions,
    ranking=st.none() | st.lists(_items, max_size=7),
)


def _near(prediction: Prediction, by: float) -> Prediction:
    """Almost the same answer: whole random predictions are seldom near each other."""
    return Prediction(
        score=None if prediction.score is None else prediction.score * (1 + by),
        label=prediction.label,
        vector=None if prediction.vector is None else [each * (1 + by) for each in prediction.vector],
        ranking=None if prediction.ranking is None else list(prediction.ranking)[::-1],
    )


pairs = (
    st.tuples(predictions, predictions)
    | predictions.map(lambda each: (each, each))
    | st.builds(
        lambda each, by: (each, _near(each, by)), predictions, st.sampled_from([1e-16, 1e-9, 0.01, 0.1])
    )
)
segments = st.dictionaries(st.sampled_from(["country", "plan"]), st.sampled_from(["DE", "XX"]))

_shares = st.sampled_from(["0", "0.3", "0.5", "0.8", "1"])
_tolerances = st.sampled_from(["0", "1e-9", "0.05", "0.1", "1"])
_scores = st.one_of(
    _tolerances.map("score:{}".format),
    _tolerances.map("score:rel={}".format),
    st.builds("score:abs={},rel={}".format, _tolerances, _tolerances),
)
_vectors = st.builds(
    "vector:{}={}".format,
    st.sampled_from(["largest", "cosine", "euclidean", "total_variation", "hellinger"]),
    _tolerances,
)
_rankings = st.one_of(
    st.sampled_from(["ranking", "ranking:top=1", "ranking:top=3"]),
    _shares.map("ranking:overlap={}".format),
    st.builds("ranking:top={},overlap={}".format, st.integers(1, 5), _shares),
    st.builds("ranking:spearman={}".format, st.sampled_from(["-1", "-0.5", "0", "0.5", "1"])),
    st.builds("ranking:top={},overlap={},spearman={}".format, st.integers(1, 5), _shares, _shares),
)
_in_sql = st.one_of(
    st.sampled_from(["auto", "auto:0.5", "label", "score", "vector"]), _scores, _vectors, _rankings
)
_labels = st.sets(st.sampled_from(["case", "space", "nfkc"]), min_size=1).map(
    lambda steps: "label:" + ",".join(steps)
)
_elsewhere = _labels | _shares.map("text:{}".format) | st.just("python:unit.comparators.own_rules:even")
_ignores = st.lists(st.sampled_from(["label=a", "label=", "segment.country=XX"]), max_size=2)


def _rules(some: st.SearchStrategy[str]) -> st.SearchStrategy[Comparator]:
    """One rule alone, or one beside those of `auto`."""
    given = some.map(lambda text: [text]) | some.map(lambda text: ["auto", text])
    return st.builds(Comparator.of, given, _ignores)


rules_in_sql = _rules(_in_sql)
rules = rules_in_sql | _rules(_elsewhere)

Pair = tuple[Prediction, Prediction]
Segments = Sequence[Mapping[str, str]]


def one_at_a_time(rule: Comparator, given: Sequence[Pair], of: Segments) -> list[Outcome]:
    """By the one-pair form."""
    return [rule.compare(*pair, each) for pair, each in zip(given, of, strict=True)]


def by_columns(rule: Comparator, given: Sequence[Pair], of: Segments) -> list[Outcome]:
    """By the columnar form, as rows."""
    return list(map(Outcome, *(each.to_pylist() for each in columns(rule, given, of)[:3])))


def columns(rule: Comparator, given: Sequence[Pair], of: Segments) -> Outcomes:
    """By the columnar form."""
    cohorts = pa.array([list(each.items()) for each in of], SEGMENTS)
    return compare_columns(rule, column([p for p, _ in given]), column([s for _, s in given]), cohorts)


def by_duckdb(
    connection: duckdb.DuckDBPyConnection, rule: Comparator, given: Sequence[Pair], of: Segments
) -> list[Outcome]:
    """By the SQL form, over columns as the lake has them."""
    parts = {
        f"{side}_{part}": column([pair[place] for pair in given]).field(part)
        for place, side in enumerate(("primary", "shadow"))
        for part in Prediction.__slots__
    }
    rows = pa.table(  # noqa: F841 (the engine reads it by its name)
        {**parts, "segments": pa.array([list(each.items()) for each in of], SEGMENTS), "n": range(len(given))}
    )
    sql = judgement(rule)
    found = connection.execute(
        f"SELECT {sql.agreement}, {sql.difference}, {sql.comparator} FROM rows ORDER BY n"  # noqa: S608 (our own text)
    ).fetchall()
    return [Outcome(*row) for row in found]


def column(values: Sequence[Prediction]) -> pa.StructArray:
    """The predictions as a batch holds them."""
    rows = [{name: getattr(value, name) for name in Prediction.__slots__} for value in values]
    return pa.array(rows, PREDICTION)
