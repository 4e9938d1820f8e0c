"""A model on a server: what is sent for a request, and what an answer predicts."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from asked import asked
from inference_server import MODEL, InferenceServer, inference_server, output
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._call_errors import CallError
from shadowlane.replay_worker.models._http._answers import predictions
from shadowlane.replay_worker.models._http._client import Reply

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EACH = [
    {"name": "amount", "datatype": "FP32", "shape": [-1]},
    {"name": "visits", "datatype": "INT64", "shape": [-1, 1]},
    {"name": "known", "datatype": "BOOL", "shape": [-1]},
    {"name": "country", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "embedding", "datatype": "FP64", "shape": [-1, 3]},
]
ONE_OF_EACH = {
    "amount": 1.5,
    "visits": 2**53 + 1,
    "known": True,
    "country": "DE",
    "embedding": [1.0, 2.0, 3.0],
}


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    """A server with one model: the sum of two numbers."""
    with inference_server() as running:
        yield running


def load(server: InferenceServer, *features: str, suffix: str = "", **options: Any) -> LoadedModel:
    """The server's model."""
    return load_model(ModelSource(server.uri + suffix, features=features, **options))


def predicted(model: LoadedModel, features: Mapping[str, object], **changes: Any) -> dict[str, Any]:
    """What the model predicts for one request."""
    inputs = model.prepare(asked(features, **changes))
    (prediction,) = model.read_each([model.one(inputs, 0)]).to_pylist()
    return {name: value for name, value in prediction.items() if value is not None}


def test_a_matrix_is_filled_in_the_order_that_the_user_gives(server: InferenceServer) -> None:
    """One tensor of two columns, whatever the order and company in which the features come."""
    model = load(server, "b", "a")
    assert predicted(model, {"a": 1.0, "other": "x", "b": 2}) == {"score": 3.0}
    assert list(model.names) == ["b", "a"]
    (seen,) = server.script.seen
    assert seen.said == {
        "id": "request-0",
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [2.0, 1.0]}],
    }


def test_an_input_for_each_feature_needs_no_names_from_the_user(server: InferenceServer) -> None:
    """The server's own names and datatypes say all, and whole numbers stay exact."""
    server.script.inputs = EACH
    server.script.answer = lambda _seen: [output("label", "BYTES", ["fraud"])]
    model = load(server)
    assert predicted(model, ONE_OF_EACH) == {"label": "fraud"}
    assert list(model.names) == list(ONE_OF_EACH)
    (seen,) = server.script.seen
    assert [(each["datatype"], each["shape"], each["data"]) for each in seen.said["inputs"]] == [
        ("FP32", [1], [1.5]),
        ("INT64", [1, 1], [2**53 + 1]),
        ("BOOL", [1], [True]),
        ("BYTES", [1, 1], ["DE"]),
        ("FP64", [1, 3], [1.0, 2.0, 3.0]),
    ]


def test_a_batch_is_one_request(server: InferenceServer) -> None:
    """`many` asks about all rows at once, and its answers come in their order."""
    model = load(server, "a", "b")
    answer = model.many(
        model.prepare(asked({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}, {"a": 5.0, "b": 6.0}))
    )
    assert model.read_many(answer, 3).field("score").to_pylist() == [3.0, 7.0, 11.0]
    assert [(seen.rows, seen.said["id"]) for seen in server.script.seen] == [(3, "request-0")]


def test_each_request_says_that_it_is_a_shadows_and_carries_its_trace_on(server: InferenceServer) -> None:
    """The mark of a shadow, and the request's trace with a span id of its own each time."""
    model = load(server, "a", "b")
    parent = "00f067aa0ba902b7"
    for _ in range(2):
        predicted(model, {"a": 1.0, "b": 2.0}, context={"traceparent": f"00-{TRACE}-{parent}-01"})
    predicted(model, {"a": 1.0, "b": 2.0}, context={"traceparent": "no trace\r\nX-Evil: 1"})
    sent = [seen.headers for seen in server.script.seen]
    assert all(headers["X-Shadowlane-Shadow"] == "true" for headers in sent)
    spans = [re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"]) for headers in sent[:2]]
    assert len({parent, *(span and span[1] for span in spans)} - {None}) == 3
    assert "traceparent" not in sent[2]


def test_what_is_missing_is_null_in_json(server: InferenceServer) -> None:
    """JSON has no NaN; NumPy on the other side makes NaN of null again."""
    server.script.answer = lambda _seen: [output("score", "FP64", [None])]
    model = load(server, "a", "b")
    assert math.isnan(predicted(model, {"a": math.nan})["score"])
    assert server.script.seen[0].said["inputs"][0]["data"] == [None, None]


def test_binary_tensors_carry_every_float_as_it_is(server: InferenceServer) -> None:
    """Where the server says that it takes them: NaN, infinity and minus zero arrive."""
    server.script.extensions = ["binary_tensor_data"]
    server.script.answer = lambda _seen: [output("label", "BYTES", ["a"])]
    server.script.inputs[0]["shape"] = [-1, 4]
    predicted(load(server, "a", "b", "c", "d"), {"a": math.inf, "b": -0.0, "d": 0.1})
    (seen,) = server.script.seen
    (tensor,) = seen.said["inputs"]
    assert tensor == {
        "name": "x",
        "shape": [1, 4],
        "datatype": "FP64",
        "parameters": {"binary_data_size": 32},
    }
    sent = struct.unpack("<4d", seen.body[-32:])
    assert repr(sent) == repr((math.inf, -0.0, math.nan, 0.1))


def test_binary_answers_are_read(server: InferenceServer) -> None:
    """Text with its length before it, numbers as they lie in memory, one output after the other."""
    text = b"\x03\x00\x00\x00abc\x02\x00\x00\x00\xc3\xa9"
    scores = np.array([0.5, 0.25], "<f4").tobytes()
    head = (
        b'{"outputs":[{"name":"l","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":13}},'
        b'{"name":"s","datatype":"FP32","shape":[2,1],"parameters":{"binary_data_size":8}}]}'
    )
    reply = Reply(head + text + scores, {"Inference-Header-Content-Length": str(len(head))}, 1)
    found = predictions(reply, 2).to_pylist()
    assert [(each["label"], each["score"]) for each in found] == [("abc", 0.5), ("é", 0.25)]


@pytest.mark.parametrize(
    ("outputs", "prediction"),
    [
        ([output("y", "FP64", [0.5])], {"score": 0.5}),
        ([output("y", "FP32", [[0.5]], [1, 1])], {"score": 0.5}),
        ([output("y", "INT64", [3])], {"label": "3"}),
        ([output("y", "BOOL", [True])], {"label": "true"}),
        ([output("y", "BYTES", ["ham"])], {"label": "ham"}),
        ([output("y", "FP64", [0.25, 0.75], [1, 2])], {"vector": [0.25, 0.75]}),
        ([output("y", "INT32", [1, 2], [1, 2])], {"vector": [1.0, 2.0]}),
        ([output("y", "BYTES", ["a", "b"], [1, 2])], {"ranking": ["a", "b"]}),
        (
            [output("predict", "INT64", [1]), output("predict_proba", "FP64", [[0.25, 0.75]], [1, 2])],
            {"label": "1", "score": 0.75},
        ),
        (
            [output("label", "BYTES", ["a"]), output("embedding", "FP64", [0.25, 0.75], [1, 2])],
            {"label": "a", "vector": [0.25, 0.75]},
        ),
        ([output("label", "BYTES", ["a"]), output("score", "FP64", [0.9])], {"label": "a", "score": 0.9}),
    ],
)
def test_outputs_are_parts_of_a_prediction_by_datatype_and_shape(
    server: InferenceServer, outputs: list[dict[str, Any]], prediction: dict[str, Any]
) -> None:
    """The documented rules, one by one."""
    server.script.answer = lambda _seen: outputs
    assert predicted(load(server, "a", "b"), {"a": 1.0, "b": 2.0}) == prediction


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([output("y", "FP64", [0.5, 0.5])], "output 'y' has the shape [2], and 1 requests were asked"),
        ([output("y", "FP64", [0.5], [1, 2])], "output 'y' does not hold FP64 of the shape [1, 2]"),
        ([output("y", "FP64", ["half"])], "output 'y' does not hold FP64"),
        ([output("y", "INT64", [1.5])], "output 'y' does not hold INT64"),
        ([output("y", "BYTES", [1])], "output 'y' does not hold BYTES"),
        ([output("y", "WORDS", [1])], "output 'y' does not hold WORDS"),
        ([output("y", "FP64", [], [1, 0])], "output 'y' has the shape [1, 0]"),
        ([output("y", "FP64", [1.0], [1, -1])], "output 'y' has the shape [1, -1]"),
        ([{"name": "y"}], "names no name, datatype and shape"),
        ([], "is no inference response in JSON"),
        (
            [output("a", "FP64", [1.0]), output("b", "FP64", [1.0])],
            "'a' and 'b' are each a score: say",
        ),
    ],
)
def test_an_answer_that_cannot_be_read_says_what_is_wrong(
    server: InferenceServer, outputs: list[dict[str, Any]], why: str
) -> None:
    """Wrong shapes and datatypes are errors, and never a prediction."""
    server.script.answer = lambda _seen: outputs
    with pytest.raises(CallError) as caught:
        predicted(load(server, "a", "b"), {"a": 1.0, "b": 2.0})
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"<html>", None),
        (b"[" * 100_000, None),
        (b'{"outputs": 3}', None),
        (
            b'{"outputs":[{"name":"y","datatype":"FP64","shape":[1],"parameters":{"binary_data_size":8}}]}1234',
            "92",
        ),
        (
            b'{"outputs":[{"name":"y","datatype":"FP64","shape":[1],"parameters":{"binary_data_size":-8}}]}',
            "93",
        ),
        (b"{}", "many"),
    ],
)
def test_noise_in_place_of_an_answer_is_an_error_with_its_attempts(body: bytes, header: str | None) -> None:
    """Whatever stands there, the failure is the request's, after as many attempts as there were."""
    headers = {"Inference-Header-Content-Length": header} if header else {}
    with pytest.raises(CallError) as caught:
        predictions(Reply(body, headers, 1, attempts=3), 1)
    assert caught.value.attempts == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"amount": "much"}, "feature 'amount' is str, and the model takes FP32"),
        ({"amount": math.inf}, "feature 'amount' is infinite, which JSON has no form for"),
        ({"visits": 1.5}, "feature 'visits' is no whole number, and the model takes INT64"),
        ({"visits": math.nan}, "feature 'visits' is missing, and the model takes INT64"),
        ({"known": 2}, "feature 'known' is int, and the model takes BOOL"),
        ({"country": None}, "feature 'country' is missing, and the model takes BYTES"),
        ({"embedding": [1.0]}, "feature 'embedding' is no list of 3"),
    ],
)
def test_a_feature_that_fits_no_tensor_fails_its_own_request_only(
    server: InferenceServer, change: dict[str, Any], why: str
) -> None:
    """The error names the feature, without its value, and the requests beside it are asked."""
    server.script.inputs = EACH
    server.script.answer = lambda _seen: [output("label", "BYTES", ["ham"])]
    model = load(server)
    inputs = model.prepare(asked(ONE_OF_EACH | change, ONE_OF_EACH))
    with pytest.raises(ModelError) as caught:
        model.one(inputs, 0)
    assert why in str(caught.value)
    assert model.read_each([model.one(inputs, 1)]).field("label").to_pylist() == ["ham"]


def test_the_outputs_that_are_asked_for_stand_at_the_end_of_the_uri(server: InferenceServer) -> None:
    """A server may give others by itself, or fewer; a name that it has not is an error when it is loaded."""
    server.script.outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    predicted(load(server, "a", "b", suffix="#predict"), {"a": 1.0, "b": 2.0})
    assert server.script.seen[0].said["outputs"] == [{"name": "predict"}]
    with pytest.raises(ModelError, match="has no output probabilities; it has predict, predict_proba"):
        load(server, "a", "b", suffix="#predict,probabilities")


@pytest.mark.parametrize("suffix", ["/infer", "/versions/3", "/versions/3/infer", "/"])
def test_a_uri_may_name_the_version_and_the_infer_endpoint(server: InferenceServer, suffix: str) -> None:
    """What people have at hand is taken; the version's own endpoints are asked."""
    if "versions" in suffix:
        with pytest.raises(ModelError, match=r"versions/3: HTTP 404: no such model\. The server is ready"):
            load(server, "a", "b", suffix=suffix)
    else:
        assert predicted(load(server, "a", "b", suffix=suffix), {"a": 1.0, "b": 2.0}) == {"score": 3.0}


def test_a_gateway_may_put_the_server_under_a_path(server: InferenceServer) -> None:
    """What stands before /v2 stays."""
    model = load_model(ModelSource(f"{server.url}/tenants/blue{MODEL}", features=("a", "b")))
    assert predicted(model, {"a": 1.0, "b": 2.0}) == {"score": 3.0}


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://host:8080/v1/models/fraud:predict", "write http://host:port/v2/models/NAME"),
        ("http://host:8080", "write http://host:port/v2/models/NAME"),
        ("http:///v2/models/fraud", "write http://host:port/v2/models/NAME"),
        ("http://host:99999/v2/models/fraud", "cannot be read"),
        ("https://host/v2/models/fraud?key=secret", "write http://host:port/v2/models/NAME"),
        ("https://user:secret@host/v2/models/fraud", "SHADOWLANE_MODEL_HEADERS"),
    ],
)
def test_a_uri_of_another_form_is_an_error_without_its_secrets(uri: str, why: str) -> None:
    """The sentence says how to write it."""
    with pytest.raises(ModelError) as caught:
        load_model(ModelSource(uri))
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "features", "why"),
    [
        ([], (), "does not say what the model takes: name its features"),
        (
            [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
            (),
            "takes 2 features as one tensor, without",
        ),
        ([{"name": "x", "datatype": "FP64", "shape": [-1, 2]}], ("a",), "takes 2 features, and 1 were named"),
        ([{"name": "x", "datatype": "FP64", "shape": [-1, 3, 8, 8]}], ("a",), "features go into [n] and"),
        ([{"name": "x", "datatype": "BF16", "shape": [-1, 2]}], ("a", "b"), "input 'x' is BF16"),
        ([{"name": "x", "datatype": "FP64", "shape": None}], ("a", "b"), "no name, datatype and shape"),
        (EACH, ("amount",), "has an input for each feature, amount, visits"),
        ([EACH[0], EACH[4] | {"shape": [-1, -1]}], (), "how long is it for one request?"),
    ],
)
def test_metadata_that_do_not_say_enough_are_an_error_when_it_is_loaded(
    server: InferenceServer, inputs: list[dict[str, Any]], features: tuple[str, ...], why: str
) -> None:
    """Before a message is consumed, and with what to do."""
    server.script.inputs = inputs
    with pytest.raises(ModelError) as caught:
        load(server, *features)
    assert why in str(caught.value)


def test_a_server_that_names_no_inputs_is_given_a_matrix(server: InferenceServer) -> None:
    """As some servers of scikit-learn models do: the tensor's name is a custom."""
    server.script.inputs = []
    assert predicted(load(server, "a", "b", "c"), {"a": 1.0, "b": 2.0, "c": 3.0}) == {"score": 6.0}
    assert server.script.seen[0].said["inputs"][0]["name"] == "input-0"
