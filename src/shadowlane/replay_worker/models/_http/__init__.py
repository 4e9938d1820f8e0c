"""http(s)://host:port/v2/models/NAME: a model on a server of the Open Inference Protocol, version 2."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shadowlane.errors import MissingExtraError, ModelError
from shadowlane.replay_worker._features import FeatureBatch, RequestContext
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._call_errors import CallError
from shadowlane.replay_worker.models._http._address import Address
from shadowlane.replay_worker.models._http._tensors import Inputs, Row, tensors_of
from shadowlane.replay_worker.models._protocol import LoadedModel

try:
    from shadowlane.replay_worker.models._http._answers import predictions
    from shadowlane.replay_worker.models._http._client import Client, Reply, ServerRefusedError
    from shadowlane.replay_worker.models._http._headers import Headers
except ModuleNotFoundError as missing:  # pragma: no cover - the test environment has urllib3
    if missing.name == "urllib3":
        raise MissingExtraError("http", "A model over HTTP") from missing
    raise

__all__ = ["load"]

# The client gives up before the model's process would be ended for one call that takes too long.
_SHARE_OF_CALL = 0.9
_BINARY = "binary_tensor_data"
_TRACE = re.compile(r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The requests of a batch; one that has no form as tensors has the reason in its place."""

    rows: Sequence[Row | ModelError]
    contexts: Sequence[RequestContext]


class HttpModel(LoadedModel):
    """A model on a server: several requests are asked at once, each timed alone."""

    wants_context = True

    def __init__(self, client: Client, address: Address, inputs: Inputs, *, concurrency: int) -> None:
        self._client, self._inputs = client, inputs
        self._path = f"{address.model}/infer"
        self.names, self.concurrency = inputs.names, concurrency

    def prepare(self, features: FeatureBatch) -> _Prepared:
        """The values of each request, tensor by tensor."""
        return _Prepared([self._row(each) for each in features.dicts()], features.contexts())

    def one(self, inputs: _Prepared, row: int) -> Reply:
        """Ask about one request, under its id and trace."""
        values, context = inputs.rows[row], inputs.contexts[row]
        if isinstance(values, ModelError):
            raise values
        body, headers = self._inputs.body([values], context.request_id)
        return self._client.ask("POST", self._path, body, **headers, **_trace(context.headers))

    def many(self, inputs: _Prepared) -> Reply:
        """Ask about all in one request, under the id of the first: some servers insist on one."""
        rows = []
        for values in inputs.rows:
            if isinstance(values, ModelError):
                raise values
            rows.append(values)
        body, headers = self._inputs.body(rows, inputs.contexts[0].request_id)
        return self._client.ask("POST", self._path, body, **headers)

    def took(self, answer: Reply) -> int:
        """What the last attempt took: waiting to ask again is not the model's time."""
        return answer.nanoseconds

    def read_each(self, answers: Sequence[Reply]) -> pa.StructArray:
        """The predictions in answers about one request each."""
        if not answers:
            return super().read_each([])
        return pa.concat_arrays([predictions(answer, 1) for answer in answers])

    def read_many(self, answers: Reply, rows: int) -> pa.StructArray:
        """The predictions in an answer about all."""
        return predictions(answers, rows)

    def _row(self, features: Mapping[str, Any]) -> Row | ModelError:
        try:
            return self._inputs.row(features)
        except ModelError as error:
            return error


def load(source: ModelSource) -> LoadedModel:
    """Ask the server what the model takes, and whether it is ready."""
    address = Address.of(source.uri)
    client = Client(
        address, Headers(), seconds=source.call_seconds * _SHARE_OF_CALL, connections=source.concurrency
    )
    try:
        metadata = _said(client, address.model)
        client.ask("GET", f"{address.model}/ready")
    except CallError as error:
        raise ModelError(f"model {address}: {error}. {_advice(client, address, error)}") from error
    _check_outputs(metadata, address)
    binary = _BINARY in _extensions(client, address)
    inputs = Inputs(tensors_of(metadata, source.features), outputs=address.outputs, binary=binary)
    return HttpModel(client, address, inputs, concurrency=source.concurrency)


def _said(client: Client, path: str) -> dict[str, Any]:
    """The server's metadata."""
    body = client.ask("GET", path).body
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServerRefusedError(f"{path} gave no JSON object")
    return found


def _extensions(client: Client, address: Address) -> Sequence[str]:
    """What the server can do beside the protocol; a gateway in front may not let us ask."""
    try:
        return _said(client, f"{address.base}/v2").get("extensions") or ()
    except CallError:
        return ()


def _advice(client: Client, address: Address, error: CallError) -> str:
    if not isinstance(error, ServerRefusedError):
        return "Is the server up, and the address right?"
    try:
        client.ask("GET", f"{address.base}/v2/health/ready")
    except CallError:
        return "The server is not ready, or does not speak the Open Inference Protocol, version 2"
    return f"The server is ready: does it have a model {address.name!r}, in this version, and is that loaded?"


def _check_outputs(metadata: Mapping[str, Any], address: Address) -> None:
    known = {str(each.get("name")) for each in metadata.get("outputs") or () if isinstance(each, dict)}
    strange = [name for name in address.outputs if known and name not in known]
    if strange:
        names = ", ".join(sorted(known))
        raise ModelError(f"model {address} has no output {', '.join(strange)}; it has {names}")


def _trace(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace that the request belongs to, with a span of its own for this call (W3C Trace Context)."""
    found = _TRACE.fullmatch(headers.get("traceparent", ""))
    if found is None:
        return {}
    return {"traceparent": f"00-{found['trace']}-{secrets.token_hex(8)}-{found['flags']}"}
