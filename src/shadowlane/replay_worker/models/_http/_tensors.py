"""From a request's features to the tensors that the server says it takes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from shadowlane.errors import ModelError
from shadowlane.schemas import label_text

#: The protocol's datatypes of numbers, as NumPy and the binary extension write them.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
#: The header that says where the JSON ends and the binary tensors begin.
JSON_LENGTH = "Inference-Header-Content-Length"

_UNNAMED = "input-0"
_RANK_OF_MATRIX = 2

Row = list[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of the model: one feature, a feature that is a vector, or all features (a matrix)."""

    name: str
    datatype: str
    #: The features in it, in their order.
    features: tuple[str, ...]
    #: The shape of one request's part.
    part: tuple[int, ...] = ()


class Inputs:
    """How the features of requests become the body of an inference request."""

    def __init__(
        self, tensors: Sequence[Tensor], *, outputs: Sequence[str] = (), binary: bool = False
    ) -> None:
        self._tensors, self._binary = tensors, binary
        self._readers = [(_reader(each, binary=binary), each) for each in tensors]
        self._rest: dict[str, Any] = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
        if binary:
            self._rest["parameters"] = {"binary_data_output": True}

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are taken, in the model's order."""
        return tuple(chain.from_iterable(each.features for each in self._tensors))

    def row(self, features: Mapping[str, Any]) -> Row:
        """One request's values, a list for each tensor.

        Raises:
            ModelError: a feature is not what its tensor holds; the message names it.
        """
        return [
            list(chain.from_iterable(read(name, features.get(name)) for name in tensor.features))
            for read, tensor in self._readers
        ]

    def body(self, rows: Sequence[Row], request_id: str = "") -> tuple[bytes, dict[str, str]]:
        """An inference request about these rows, and the headers that it needs."""
        head: dict[str, Any] = {"id": request_id} if request_id else {}
        inputs, blobs = [], []
        for index, tensor in enumerate(self._tensors):
            values = list(chain.from_iterable(row[index] for row in rows))
            said: dict[str, Any] = {
                "name": tensor.name,
                "shape": [len(rows), *tensor.part],
                "datatype": tensor.datatype,
            }
            if self._binary and tensor.datatype in DTYPES:
                blobs.append(np.array(values, DTYPES[tensor.datatype]).tobytes())
                inputs.append(said | {"parameters": {"binary_data_size": len(blobs[-1])}})
            else:
                inputs.append(said | {"data": values})
        text = json.dumps(head | {"inputs": inputs} | self._rest, allow_nan=False).encode()
        if not self._binary:
            return text, {"Content-Type": "application/json"}
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(text))}
        return b"".join((text, *blobs)), headers


def tensors_of(metadata: Mapping[str, Any], features: Sequence[str]) -> list[Tensor]:
    """The model's inputs, by its metadata, and by the order of features that its user gives.

    Raises:
        ModelError: the two do not go together, or more is needed to know.
    """
    inputs = [_input(each) for each in metadata.get("inputs") or ()]
    if not inputs:
        if not features:
            raise ModelError("the server does not say what the model takes: name its features (--features)")
        return [Tensor(_UNNAMED, "FP64", tuple(features), (len(features),))]
    if len(inputs) == 1 and (features or _width(inputs[0][2]) != 1):
        return [_matrix(*inputs[0], features)]
    names = [name for name, _, _ in inputs]
    if features and sorted(features) != sorted(names):
        raise ModelError(f"the model has an input for each feature, {', '.join(names)}: leave --features out")
    return [_single(*each) for each in inputs]


def _matrix(name: str, datatype: str, shape: Sequence[int], features: Sequence[str]) -> Tensor:
    width = _width(shape)
    if not features:
        many = f"{width} features" if width > 0 else "features"
        raise ModelError(
            f"the model takes {many} as one tensor, without their names: give them in order (--features)"
        )
    if width not in (-1, len(features)):
        raise ModelError(f"the model takes {width} features, and {len(features)} were named")
    is_flat = width == 1 and len(shape) == 1
    return Tensor(name, datatype, tuple(features), () if is_flat else (len(features),))


def _single(name: str, datatype: str, shape: Sequence[int]) -> Tensor:
    if len(shape) == 1:
        return Tensor(name, datatype, (name,))
    width = _width(shape)
    if width < 1:
        raise ModelError(f"input {name!r} has the shape {list(shape)}: how long is it for one request?")
    return Tensor(name, datatype, (name,), (width,))


def _input(said: Any) -> tuple[str, str, list[int]]:
    try:
        name, datatype = str(said["name"]), str(said["datatype"])
        shape = [int(size) for size in said["shape"]]
    except (KeyError, TypeError, ValueError):
        raise ModelError("the server's metadata name no name, datatype and shape for an input") from None
    if datatype not in DTYPES and datatype != "BYTES":
        raise ModelError(f"input {name!r} is {datatype}, which features have no form for")
    if not 1 <= len(shape) <= _RANK_OF_MATRIX:
        raise ModelError(f"input {name!r} has the shape {shape}; features go into [n] and [n, features]")
    return name, datatype, shape


def _width(shape: Sequence[int]) -> int:
    """How many values one request has; -1: any number. [4] leaves the number of requests out, as some do."""
    if len(shape) == _RANK_OF_MATRIX:
        return shape[1]
    return max(1, shape[0])


def _reader(tensor: Tensor, *, binary: bool) -> Callable[[str, Any], list[Any]]:
    """What makes a feature's value a list of the tensor's; a vector where one feature fills the tensor."""
    if tensor.datatype.startswith("FP"):
        one: Callable[[Any], Any] = _exact_float if binary else _json_float
    else:
        one = {"BOOL": _flag, "BYTES": _text}.get(tensor.datatype, _integer)
    length = tensor.part[0] if tensor.part and len(tensor.features) == 1 else 1

    def read(name: str, value: Any) -> list[Any]:
        if length == 1 and not isinstance(value, list):
            return [_named(one, name, value, tensor.datatype)]
        if not isinstance(value, list) or len(value) != length:
            raise ModelError(f"feature {name!r} is no list of {length}, which the model takes")
        return [_named(one, name, each, tensor.datatype) for each in value]

    return read


def _named(one: Callable[[Any], Any], name: str, value: Any, datatype: str) -> Any:
    try:
        return one(value)
    except (TypeError, ValueError, OverflowError) as error:
        known = error.args[0] if isinstance(error, _UnfitError) else f"is {type(value).__name__}"
        raise ModelError(f"feature {name!r} {known}, and the model takes {datatype}") from None


class _UnfitError(ValueError):
    """A value that the datatype has no form for, and why."""


def _exact_float(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError


def _json_float(value: Any) -> float | None:
    """JSON has no NaN: it travels as null, which NumPy on the other side reads as NaN again."""
    number = _exact_float(value)
    if math.isinf(number):
        raise _UnfitError("is infinite, which JSON has no form for")
    return None if math.isnan(number) else number


def _integer(value: Any) -> int:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise _UnfitError("is missing")
    if isinstance(value, float) and not value.is_integer():
        raise _UnfitError("is no whole number")
    if isinstance(value, (int, float)):
        return int(value)
    raise TypeError


def _flag(value: Any) -> bool:
    if value is None:
        raise _UnfitError("is missing")
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise TypeError


def _text(value: Any) -> str:
    if value is None:
        raise _UnfitError("is missing")
    if isinstance(value, (str, int, float)):
        return label_text(value)
    raise TypeError
