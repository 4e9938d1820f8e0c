"""python: models: functions and classes of one's own, in each form of input, with and without context."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_support import FEATURES, asked, batch_of, predictions, same
from shadowlane.errors import ModelError
from shadowlane.replay_worker import FeatureBatch, ModelSource, load_model
from shadowlane.replay_worker._features import CONTEXT
from shadowlane.replay_worker.models._python import PythonModel
from shadowlane.schemas import Features, Prediction

ROWS: list[dict[str, Any]] = [{"a": 1.0, "b": 2}, {"a": -3.0, "b": 5, "c": "x"}]

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Writes a user's module and gives its name."""
    name = f"user_models_{abs(hash(tmp_path))}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])

    def write(code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return f"python:{name}"

    return write


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def model(features): return features['a'] / 10", [Prediction(score=0.1), Prediction(score=-0.3)]),
        ("model = lambda features: 'high' if features['a'] > 0 else 'low'", ["high", "low"]),
        (
            "class model:\n def predict_one(self, f): return {'label': 'yes', 'score': f['a']}",
            [Prediction(label="yes", score=1.0), Prediction(label="yes", score=-3.0)],
        ),
        ("class model:\n def predict(self, batch): return batch.matrix(['a'])[:, 0]", [1.0, -3.0]),
        ("class model:\n def predict(self, batch): return [d['b'] for d in batch.dicts()]", [2, 5]),
        ("async def model(features): return features['a']", [1.0, -3.0]),
        ("class model:\n async def __call__(self, features): return features['a']", [1.0, -3.0]),
        (
            "class model:\n def load(self): self.x = 4.0\n def predict_one(self, f): return f['a'] + self.x",
            [5.0, 1.0],
        ),
        (
            """class model:
    def __init__(self, x): self.predict_one = lambda f: f['a'] + x
    load = classmethod(lambda cls: cls(4.0))""",
            [5.0, 1.0],
        ),
    ],
)
def test_each_shape_of_model_answers_alone_and_together_alike(
    module: Module, code: str, expected: list[Any]
) -> None:
    """Functions, callables and classes, async or not, with or without a load."""
    model = load_model(ModelSource(module(code) + ":model"))
    same(asked(model, batch_of(ROWS)), [Prediction.of(each) for each in expected])


@pytest.mark.parametrize(
    ("form", "one", "together"),
    [
        ("dicts", "f['a'] + f['b']", "[f['a'] + f['b'] for f in x]"),
        ("numpy", "f[0].sum()", "x.sum(axis=1)"),
        ("pandas", "float(f['a'][0] + f['b'][0])", "x['a'] + x['b']"),
        ("arrow", "f['a'][0].as_py() + f['b'][0].as_py()", "[sum(r.values()) for r in x.to_pylist()]"),
    ],
)
@pytest.mark.parametrize("who_says", ["model", "user"])
@pytest.mark.parametrize("has", ["both", "one", "together"])
def test_a_model_gets_the_form_that_it_or_its_user_names(
    module: Module, form: str, one: str, together: str, who_says: str, has: str
) -> None:
    """predict_one gets a row of the form, predict all of them; one stands in for the other."""
    code = "class model:\n"
    code += f" input, features = {form!r}, ('a', 'b')\n" if who_says == "model" else ""
    code += f" def predict_one(self, f): return {one}\n" if has != "together" else ""
    code += f" def predict(self, x): return {together}\n" if has != "one" else ""
    options: Any = {"input": form, "features": ("a", "b")} if who_says == "user" else {}
    model = load_model(ModelSource(module(code) + ":model", **options))
    assert model.names == ("a", "b")
    same(asked(model, batch_of(ROWS)), [Prediction(score=3.0), Prediction(score=2.0)])


def test_a_model_without_a_declaration_gets_the_batch(module: Module) -> None:
    """Predict is given a FeatureBatch, of which it takes what it wants."""
    code = "class model:\n def predict(self, batch): return [type(batch).__name__] * len(batch)"
    model = load_model(ModelSource(module(code) + ":model"))
    assert {each.label for each in asked(model, batch_of(ROWS))} == {"FeatureBatch"}


@pytest.mark.parametrize(
    "code",
    [
        "def model(features, context): return answer(context)",
        "class model:\n def predict_one(self, features, *, context): return answer(context)",
        "class model:\n def predict(self, batch, context=None): return [answer(each) for each in context]",
    ],
)
def test_a_model_that_asks_for_the_context_learns_whose_request_it_is_and_when_it_was_made(
    module: Module, code: str
) -> None:
    """The clock is the request's, and the shadow is told that it is one."""
    answer = "def answer(c): return f'{c.request_id} {c.event_time:%H:%M} {c.segments} {c.shadow}'\n"
    model = load_model(ModelSource(module(answer + code) + ":model"))
    assert model.wants_context
    times = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (3, 4)]
    context = pa.RecordBatch.from_pydict(
        dict(zip(CONTEXT, [["r1", "r2"], times, [None, "u"], [{"at": "AT"}, {}], [{}, {}]], strict=True)),
        schema=pa.schema(
            [
                ("request_id", pa.string()),
                ("event_time", pa.timestamp("us", "UTC")),
                ("entity_id", pa.string()),
                ("segments", pa.map_(pa.string(), pa.string())),
                ("context", pa.map_(pa.string(), pa.string())),
            ]
        ),
    )
    found = asked(model, batch_of(ROWS, context))
    assert [each.label for each in found] == ["r1 03:00 {'at': 'AT'} True", "r2 04:00 {} True"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "has no attribute 'model'"),
        ("model = 7", "a int is no model"),
        ("class model: pass", "a model is no model: neither callable, nor has it predict_one or predict"),
        ("import sys\nclass model:\n def __init__(self): sys.exit('no licence')", "SystemExit: no licence"),
        ("class model:\n def __init__(self, path): pass\n def predict_one(self, f): pass", "'path'"),
        ("class model:\n def load(self, path): pass\n def predict_one(self, f): pass", "'path'"),
        ("def model(): return 1", "the function is called with the features"),
        ("def model(features, threshold): return 1", "missing a required argument: 'threshold'"),
        ("class model:\n def predict(self, context, model_input): return 1", "predict is called with the"),
        ("class model:\n input = 'numpy'\n def predict_one(self, x): return 1", "name them in order"),
        ("class model:\n input = 'tensor'\n def predict_one(self, x): return 1", "use one of dicts, numpy"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    ],
)
def test_a_model_that_cannot_be_asked_says_why_before_any_request(
    module: Module, code: str, words: str
) -> None:
    """Each way of failing to load is a ModelError in plain words."""
    with pytest.raises(ModelError) as caught:
        load_model(ModelSource(module(code) + ":model"))
    assert words in str(caught.value)


@pytest.mark.parametrize("uri", ["python:nowhere", "python::model", "python:module:"])
def test_half_a_uri_says_how_a_whole_one_looks(uri: str) -> None:
    """Module and attribute are both needed."""
    with pytest.raises(ModelError, match=r"write python:package\.module:attribute"):
        load_model(ModelSource(uri))


@pytest.mark.parametrize("has", ["", "\n def predict(self, batch): return [1.0] * len(batch)"])
def test_a_request_that_has_no_form_takes_no_other_with_it(module: Module, has: str) -> None:
    """Nested values that are no JSON, from whoever wrote them, are one request's failure."""
    code = "class model:\n def predict_one(self, f): return 1.0" + has
    model = load_model(ModelSource(module(code) + ":model"))
    damaged = [Features.of({"j": {"k": 1}}), Features(json={"j": "{"}), Features.of({"a": 1.0})]
    plain = [
        {
            part: list(value.items()) if isinstance(value, dict) else value
            for part, value in asdict(each).items()
        }
        for each in damaged
    ]
    inputs = model.prepare(FeatureBatch(pa.array(plain, FEATURES)))
    assert [model.one(*model.single(inputs, row)) for row in (0, 2)] == [1.0, 1.0]
    with pytest.raises(JSONDecodeError):
        model.single(inputs, 1)


def test_a_batch_with_too_few_answers_is_an_error(module: Module) -> None:
    """A model that answers fewer requests than it was asked is not believed."""
    model = load_model(ModelSource(module("class model:\n def predict(self, batch): return []") + ":model"))
    inputs = model.prepare(batch_of(ROWS))
    with pytest.raises(ModelError, match="2 requests, but predict gave 0 answers"):
        model.read_many(model.many(inputs), 2)
    with pytest.raises(ModelError, match="1 request, but predict gave 0 answers"):
        model.read_each([model.one(inputs, 0)])


def test_a_model_that_computes_on_a_device_is_waited_for(module: Module) -> None:
    """`synchronize`, where a model has it, is called when its answer must be there."""
    code = "class model:\n done = 0\n def predict_one(self, f): return 1.0\n"
    code += " def synchronize(self): type(self).done += 1"
    uri = module(code)
    model = load_model(ModelSource(uri + ":model"))
    model.wait()
    assert sys.modules[uri.partition(":")[2]].model.done == 1


alike = [
    st.floats(allow_nan=False),
    st.text("ab"),
    st.integers(-5, 5),
    st.booleans(),
    st.fixed_dictionaries({"label": st.text("ab"), "score": st.floats(allow_nan=False)}),
    st.fixed_dictionaries({"score": st.floats(allow_nan=False)}),
    st.lists(st.floats(allow_nan=False), max_size=3),
    st.lists(st.text("ab"), min_size=1, max_size=3),
    st.floats(allow_nan=False).map(lambda score: Prediction(label="x", score=score)),
]
answers = st.one_of(alike)


@settings(deadline=None)  # a busy machine is no fault
@given(st.one_of(st.lists(answers), *map(st.lists, alike)))
def test_answers_of_every_kind_are_read_as_prediction_of_reads_each(given_answers: list[Any]) -> None:
    """What is read at one stroke because all are alike is what each says."""
    model = PythonModel(lambda _features: None, ModelSource("python:x:y"))
    expected = [Prediction.of(answer) for answer in given_answers]
    same(predictions(model.read_each(given_answers)), expected, 0)
    same(predictions(model.read_many(given_answers, len(given_answers))), expected, 0)
