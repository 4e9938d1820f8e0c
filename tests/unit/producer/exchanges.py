"""What both middlewares promise, once for each of them, and what they made of the exchanges that they saw."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest

from shadowlane.errors import SettingsError
from shadowlane.producer import Hook
from shadowlane.producer._encode import Deferred
from shadowlane.producer._http import Request, Response
from shadowlane.schemas import Codec, Prediction, ProductionRequest

ASKED = {"user": "user-1", "country": "DE", "features": {"amount": 120.5, "night": True}}
ANSWERED = {"score": 0.25}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OPTIONS: dict[str, Any] = {
    "path": "/predict",
    "features": lambda request: request.json()["features"],
    "prediction": lambda response: response.json()["score"],
}


class Answer(NamedTuple):
    """What a service of these tests answers."""

    status: int = 200
    chunks: tuple[bytes, ...] = (json.dumps(ANSWERED).encode(),)
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    error: BaseException | None = None
    """What it raises after that."""


Service = Callable[[bytes], Answer]


def answering(**answer: Any) -> Service:
    """A service that answers this, whatever it is asked."""
    return lambda _body: Answer(**answer)


def published(hook: Hook) -> list[ProductionRequest]:
    """What a still hook would publish of the exchanges that it took, encoded and decoded again."""
    courier, codec, events = hook._courier, Codec(ProductionRequest), []
    while (item := courier.intake.take()) is not None:
        assert isinstance(item, Deferred)
        observation = courier._sender._read(item)
        assert observation is not None
        events.append(codec.decode(courier._encoder.request(observation, now_ms=10**15).value))
    return events


class Contract(ABC):
    """Inherited by the tests of each middleware."""

    @abstractmethod
    def ask(self, service: Service, request: httpx.Request, hook: Hook, **options: Any) -> httpx.Response:
        """Send a request through a middleware with these options to a service without a framework."""

    def post(
        self, hook: Hook, service: Service | None = None, *, url: str = "/predict", **options: Any
    ) -> httpx.Response:
        """Ask for a prediction."""
        content = options.pop("content", json.dumps(ASKED).encode())
        headers = options.pop("headers", {})
        method = options.pop("method", "POST")
        request = httpx.Request(method, f"http://service{url}", content=content, headers=headers)
        return self.ask(service or answering(), request, hook, **{**OPTIONS, **options})

    def test_an_exchange_is_published(self, hook: Hook) -> None:
        """The features asked for, the prediction answered, how long it took; the caller gets its answer."""
        response = self.post(hook)
        assert (response.status_code, response.json()) == (200, ANSWERED)
        (event,) = published(hook)
        assert (event.features.numbers, event.features.flags) == ({"amount": 120.5}, {"night": True})
        assert event.prediction == Prediction(score=0.25)
        assert event.latency_ms is not None
        assert 0 < event.latency_ms < 60_000
        assert (event.entity_id, event.segments, event.context) == (None, {}, {})
        assert hook.stats().observed == 1

    def test_ids_segments_and_trace_come_from_the_request(self, hook: Hook) -> None:
        """The id of X-Request-ID, the trace of traceparent, and what the service's functions find."""
        self.post(
            hook,
            headers={"X-Request-ID": "r-1", "traceparent": TRACE},
            entity_id=lambda request: request.json()["user"],
            segments=lambda request: {"country": request.json()["country"]},
        )
        (event,) = published(hook)
        assert (event.request_id, event.entity_id) == ("r-1", "user-1")
        assert (event.segments, event.context) == ({"country": "DE"}, {"traceparent": TRACE})

    def test_a_request_id_of_the_services_own(self, hook: Hook) -> None:
        """`request_id` says where it is."""
        self.post(hook, headers={"X-Order": "o-1"}, request_id=lambda request: request.headers["x-order"])
        assert [event.request_id for event in published(hook)] == ["o-1"]

    def test_functions_see_the_whole_exchange(self, hook: Hook) -> None:
        """Method, path, its parameters, query, headers and bodies."""
        seen: list[Any] = []

        def features(request: Request) -> dict[str, Any]:
            seen.append(request)
            return {}

        def prediction(response: Response) -> None:
            seen.append(response)

        self.post(
            hook,
            url="/models/gr%C3%BC%C3%9Fe/predict?a=1&b=2",
            path="/models/{name}/predict",
            features=features,
            prediction=prediction,
        )
        assert len(published(hook)) == 1
        response, request = seen
        assert (request.method, request.path) == ("POST", "/models/grüße/predict")
        assert (request.path_params, request.query) == ({"name": "grüße"}, "a=1&b=2")
        assert request.headers["Content-Length"] == str(len(request.body))
        assert request.json() == ASKED
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        assert response.body == json.dumps(ANSWERED).encode()

    def test_features_may_take_the_body_apart(self, hook: Hook) -> None:
        """What `features` removes from the JSON is there for the other functions."""
        body = json.dumps({"user": "user-1", "amount": 1.5}).encode()

        def features(request: Request) -> dict[str, Any]:
            found: dict[str, Any] = request.json()
            del found["user"]
            return found

        self.post(hook, content=body, features=features, entity_id=lambda request: request.json()["user"])
        (event,) = published(hook)
        assert (event.entity_id, event.features.numbers) == ("user-1", {"amount": 1.5})

    @pytest.mark.parametrize(
        ("url", "method", "options"),
        [
            ("/predict", "GET", {}),
            ("/predict", "HEAD", {}),
            ("/predict/", "POST", {}),
            ("/predictions", "POST", {}),
            ("/v1/predict", "POST", {}),
            ("/v1/models/a/b/predict", "POST", {"path": "/v1/models/{name}/predict"}),
            ("/predict", "POST", {"methods": ("PUT",)}),
            ("/predict/more", "POST", {"path": re.compile("/predict")}),
        ],
    )
    def test_what_does_not_match_passes(self, hook: Hook, url: str, method: str, options: Any) -> None:
        """Other paths and methods are answered, and not observed."""
        assert self.post(hook, url=url, method=method, **options).status_code == 200
        assert hook.stats().observed == 0

    @pytest.mark.parametrize(
        ("url", "method", "options"),
        [
            ("/v1/models/a/predict", "POST", {"path": "/v1/models/{name}/predict"}),
            ("/v2/rank", "POST", {"path": re.compile("/v[0-9]+/(rank|predict)")}),
            ("/predict", "PUT", {"methods": ("post", "put")}),
        ],
    )
    def test_what_matches_is_observed(self, hook: Hook, url: str, method: str, options: Any) -> None:
        """By names in the path, by a pattern, by method."""
        self.post(hook, url=url, method=method, **options)
        assert len(published(hook)) == 1

    @pytest.mark.parametrize("status", [301, 304, 400, 404, 422, 429, 499])
    def test_nobody_asked_the_model(self, hook: Hook, status: int) -> None:
        """A redirect, and a request that the service refused, are no requests to the primary."""
        assert self.post(hook, answering(status=status)).status_code == status
        assert hook.stats().observed == 0

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_the_primary_failed(self, hook: Hook, status: int) -> None:
        """An answer that says so is counted, and not published."""
        assert self.post(hook, answering(status=status)).status_code == status
        assert published(hook) == []
        assert (hook.stats().observed, hook.stats().primary_failed) == (1, 1)

    @pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
    @pytest.mark.parametrize("chunks", [(), (b'{"score":',)])
    def test_what_the_service_raises_passes_on(
        self, hook: Hook, kind: type[BaseException], chunks: tuple[bytes, ...]
    ) -> None:
        """The very same error, before the answer and within it, counted as the primary's."""
        error = kind("mine")
        with pytest.raises(kind) as caught:
            self.post(hook, answering(chunks=chunks, error=error))
        assert caught.value is error
        assert published(hook) == []
        assert (hook.stats().observed, hook.stats().primary_failed) == (1, 1)

    @pytest.mark.parametrize("large", ["request", "response"])
    def test_a_body_that_is_too_large(self, hook: Hook, large: str) -> None:
        """It arrives as it is, and is dropped by its own reason; one that just fits is published."""
        content = b"x" * (101 if large == "request" else 100)
        chunks = (b"y" * 60, b"y" * (41 if large == "response" else 40))
        response = self.post(hook, answering(chunks=chunks), content=content, max_body=100)
        assert response.content == b"".join(chunks)
        assert published(hook) == []
        assert (hook.stats().observed, hook.stats().dropped) == (1, {"too_large": 1})

    def test_a_body_that_just_fits(self, hook: Hook) -> None:
        """`max_body` bytes are not too many."""
        body = json.dumps(ASKED).encode()
        chunks = (json.dumps({"score": 0.25}).ljust(len(body)).encode(),)
        self.post(hook, answering(chunks=chunks), content=body, max_body=len(body))
        assert len(published(hook)) == 1

    @pytest.mark.parametrize(
        ("encoding", "compress"),
        [
            ("gzip", gzip.compress),
            ("x-gzip", lambda body: gzip.compress(body[:5]) + gzip.compress(body[5:])),
            ("deflate", zlib.compress),
            ("Deflate", lambda body: zlib.compress(body)[2:-4]),
            ("identity", lambda body: body),
            ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ],
    )
    def test_compressed_bodies_are_read(
        self, hook: Hook, encoding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        """In the background: the caller gets the bytes that the service sent."""
        headers = {"content-encoding": encoding}
        answer = answering(chunks=(compress(json.dumps(ANSWERED).encode()),), headers=tuple(headers.items()))
        response = self.post(hook, answer, content=compress(json.dumps(ASKED).encode()), headers=headers)
        assert response.headers["content-encoding"] == encoding
        (event,) = published(hook)
        assert event.prediction == Prediction(score=0.25)
        assert event.features.numbers == {"amount": 120.5}

    @pytest.mark.parametrize(
        ("content", "encoding", "options", "why"),
        [
            (b"canary", "canary", {}, "inside the one that compresses"),
            (
                gzip.compress(b" " * 5000, mtime=0),
                "gzip",
                {"max_body": 4000},
                "larger than max_body, which is 4000",
            ),
            (
                zlib.compress(b" " * 5000),
                "deflate",
                {"max_body": 4000},
                "larger than max_body, which is 4000",
            ),
            (b"canary", "gzip", {}, "BadGzipFile in gzip:"),
            (b"canary", "", {}, "JSONDecodeError in json.decoder:"),
            (b'{"canary": 1}', "", {}, f"KeyError in {__name__}:"),
            (b'{"features": ["canary"]}', "", {}, "features"),
        ],
        ids=["unknown", "a gzip bomb", "a deflate bomb", "no gzip", "no JSON", "no features", "no mapping"],
    )
    def test_what_cannot_be_read(
        self,
        delivering: Hook,
        caplog: pytest.LogCaptureFixture,
        content: bytes,
        encoding: str,
        options: Any,
        why: str,
    ) -> None:
        """It is answered all the same, counted, and the log says why, without a value."""
        response = self.post(delivering, content=content, headers={"content-encoding": encoding}, **options)
        assert response.json() == ANSWERED
        delivering.close(timeout=60)
        assert delivering.stats().dropped == {"not_encodable": 1}
        assert why in caplog.text
        assert "canary" not in caplog.text

    def test_a_hook_that_is_broken(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        """What fails in the hook is not the service's trouble."""

        def broken(*_args: object, **_kwargs: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(hook, "defer", broken)
        assert self.post(hook).json() == ANSWERED
        assert hook.stats().dropped == {"not_encodable": 1}

    @pytest.mark.parametrize(
        "options",
        [
            {"path": "predict"},
            {"path": "/predict/<name>"},
            {"path": "/predict/{name:path}"},
            {"methods": "POST"},
            {"methods": ()},
            {"features": None},
            {"prediction": "score"},
            {"entity_id": "user"},
        ],
    )
    def test_options_that_can_never_work(self, hook: Hook, options: dict[str, Any]) -> None:
        """They are refused when the service starts."""
        with pytest.raises(SettingsError, match=next(iter(options))):
            self.post(hook, **options)

    def test_async_functions_are_refused(self, hook: Hook) -> None:
        """Nobody would await what they return."""

        async def features(request: Request) -> Any:
            return request.json()

        with pytest.raises(SettingsError, match="features must be a function, and not async"):
            self.post(hook, features=features)

    def test_memory_of_an_exchange(self, hook: Hook) -> None:
        """What waits is weighed with its bodies and headers."""
        self.post(hook)
        small = hook._courier.intake.take()
        self.post(hook, content=b"x" * 10_000, headers={"x-large": "x" * 5000})
        large = hook._courier.intake.take()
        assert isinstance(small, Deferred)
        assert isinstance(large, Deferred)
        assert large.size - small.size > 14_000
