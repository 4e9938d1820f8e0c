"""From the tensors of an answer to predictions.

Each output is a part of the prediction, by its datatype and shape: numbers with a point a score ([n] or
[n, 1]) or a vector ([n, k]); whole numbers, truth values and text a label, more of them for each request a
vector, text a ranking. Beside a label, class probabilities give its confidence: the largest is the score.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker.models._http._client import AnswerError, Reply
from shadowlane.replay_worker.models._http._tensors import DTYPES, JSON_LENGTH
from shadowlane.schemas import label_text

_PLAIN = frozenset({int, float, bool, type(None)})
_WHOLE = frozenset({int, bool})
_LENGTH = struct.Struct("<I")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Output:
    name: str
    datatype: str
    #: [n] or [n, k]; text as objects.
    values: Array

    @property
    def part(self) -> str:
        """Which part of the prediction it is."""
        if self.values.ndim == 1:
            return "score" if self.datatype.startswith("FP") else "label"
        return "ranking" if self.datatype == "BYTES" else "vector"


def predictions(reply: Reply, rows: int) -> pa.StructArray:
    """What an answer about so many requests predicts.

    Raises:
        AnswerError: it is none that can be read; the message says which output.
    """
    try:
        return _combined(_outputs(reply, rows), rows)
    except AnswerError as error:
        error.attempts = reply.attempts
        raise


def _combined(outputs: list[_Output], rows: int) -> pa.StructArray:
    parts: dict[str, _Output] = {}
    for output in outputs:
        if output.part in parts:
            raise AnswerError(
                f"the outputs {parts[output.part].name!r} and {output.name!r} are each a {output.part}: "
                "say at the end of the URI which to take, as in /v2/models/NAME#predict,predict_proba"
            )
        parts[output.part] = output
    columns = {part: _column(part, output.values) for part, output in parts.items()}
    vector = parts.get("vector")
    if "label" in parts and "score" not in parts and vector is not None and "proba" in vector.name.lower():
        del columns["vector"]
        columns["score"] = numbers(vector.values.max(axis=1).astype(np.float64))
    return predictions_of(rows, **columns)


def _column(part: str, values: Array) -> pa.Array:
    if part == "score":
        return numbers(values.astype(np.float64))
    if part == "label":
        return pa.array([label_text(value) for value in values.tolist()], pa.string())
    kind = pa.string() if part == "ranking" else pa.float64()
    return pa.array(values.tolist(), pa.list_(kind))


def _outputs(reply: Reply, rows: int) -> list[_Output]:
    body, split = reply.body, reply.headers.get(JSON_LENGTH)
    try:
        end = len(body) if split is None else int(split)
        found = json.loads(body[:end])["outputs"]
    except (ValueError, TypeError, KeyError, RecursionError):
        found = None
    if not isinstance(found, list) or not found:
        raise AnswerError("the server's answer is no inference response in JSON")
    outputs, rest = [], memoryview(body)[end:]
    for each in found:
        output, used = _output(each, rest, rows)
        outputs.append(output)
        rest = rest[used:]
    return outputs


def _output(said: Any, rest: memoryview, rows: int) -> tuple[_Output, int]:
    """One output, and how much of the binary data was its."""
    try:
        name, datatype = str(said["name"]), str(said["datatype"])
        shape = [int(each) for each in said["shape"]]
        size = _binary_size(said)
    except (KeyError, TypeError, ValueError):
        raise AnswerError("the server's answer names no name, datatype and shape for an output") from None
    if shape[:1] != [rows] or min(shape) < 1:
        raise AnswerError(f"output {name!r} has the shape {shape}, and {rows} requests were asked")
    try:
        values = _from_json(said["data"], datatype) if size is None else _from_bytes(rest[:size], datatype)
        by_row = values.reshape(rows, prod(shape[1:]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, struct.error):
        raise AnswerError(f"output {name!r} does not hold {datatype} of the shape {shape}") from None
    return _Output(name, datatype, by_row[:, 0] if by_row.shape[1] == 1 else by_row), size or 0


def _binary_size(said: Mapping[str, Any]) -> int | None:
    size = (said.get("parameters") or {}).get("binary_data_size")
    if size is None:
        return None
    if int(size) < 0:
        raise ValueError
    return int(size)


def _from_json(data: Any, datatype: str) -> Array:
    """Flat or nested, as servers give it. Null is what a NaN becomes in JSON."""
    values = list(_flat(data))
    kinds = set(map(type, values))
    if datatype == "BYTES":
        if not kinds <= {str}:
            raise TypeError
        return np.array(values, object)
    if datatype.startswith("FP"):
        if not kinds <= _PLAIN:
            raise TypeError
        return np.array(values, np.float64)
    if not kinds <= _WHOLE:
        raise TypeError
    return np.array(values, DTYPES[datatype])


def _from_bytes(data: memoryview, datatype: str) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    texts, place = [], 0
    while place < len(data):
        (size,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + size > len(data):
            raise ValueError
        texts.append(str(data[place : place + size], "utf-8"))
        place += size
    return np.array(texts, object)


def _flat(data: Any) -> Iterator[Any]:
    if not isinstance(data, list):
        yield data
        return
    for each in data:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield each
