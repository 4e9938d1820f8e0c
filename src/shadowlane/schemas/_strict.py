"""Where a body ends, read strictly, before a decoder that forgives too much sees it.

fastavro takes a negative branch of a union for one counted from the end, any byte but 0 for true,
a number of any length for a long and 64 bits for an int. The columnar decoder refuses all of these, and
what one codec refuses the other must not let through as something that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

#: From a body and where a value starts in it, to where the value ends.
Step = Callable[[bytes, int], int]

_MORE = 0x80
_LONGEST = 10
_INT = range(-(2**31), 2**31)
_LEAST = -(2**63)  # as a count it has no opposite in 64 bits, and both decoders read an empty block


class Strict:
    """Reads bodies of one schema, as `fastavro.parse_schema` returns it, without keeping what they say."""

    def __init__(self, schema: Any) -> None:
        self._named: dict[str, Step] = {}
        self._step = self._compile(schema)

    def end(self, body: bytes) -> int:
        """Where the value ends that starts a body.

        Raises:
            EOFError: the body ends before it.
            ValueError: there is something that no writer writes.
        """
        try:
            return self._step(body, 0)
        except IndexError:
            raise EOFError from None

    def _compile(self, schema: Any) -> Step:
        if isinstance(schema, list):
            return _union([self._compile(branch) for branch in schema])
        if isinstance(schema, dict):
            return self._compile_complex(schema)
        if schema in _PRIMITIVES:
            return _PRIMITIVES[schema]
        return lambda body, at: self._named[schema](body, at)  # noqa: PLW0108 (a record may name itself)

    def _compile_complex(self, schema: dict[str, Any]) -> Step:
        match schema["type"]:
            case "record" | "error":
                step = _record([self._compile(field["type"]) for field in schema["fields"]])
            case "array":
                return _blocks(self._compile(schema["items"]))
            case "map":
                return _blocks(_record([_bytes, self._compile(schema["values"])]))
            case "enum":
                step = _index(len(schema["symbols"]), "symbol of an enum")
            case "fixed":
                step = _fixed(schema["size"])
            case plain:
                return self._compile(plain)
        self._named[schema["name"]] = step
        return step


def _number(body: bytes, at: int) -> tuple[int, int]:
    byte = body[at]
    if byte < _MORE:  # most numbers are lengths and counts of one byte
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = byte & 0x7F
    for index in range(1, _LONGEST):
        byte = body[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < _MORE:
            value &= 2**64 - 1
            return (value >> 1) ^ -(value & 1), at + index + 1
    raise ValueError("a number of more than ten bytes")


def _long(body: bytes, at: int) -> int:
    return _number(body, at)[1]


def _int(body: bytes, at: int) -> int:
    value, at = _number(body, at)
    if value not in _INT:
        raise ValueError(f"{value} does not fit an int of 32 bits")
    return at


def _boolean(body: bytes, at: int) -> int:
    if body[at] > 1:
        raise ValueError(f"byte {body[at]} is no boolean")
    return at + 1


def _skip(body: bytes, at: int, size: int) -> int:
    if not 0 <= size <= len(body) - at:
        raise EOFError
    return at + size


def _bytes(body: bytes, at: int) -> int:
    size, at = _number(body, at)
    return _skip(body, at, size)


def _fixed(size: int) -> Step:
    return lambda body, at: _skip(body, at, size)


def _index(count: int, what: str) -> Step:
    def step(body: bytes, at: int) -> int:
        index, at = _number(body, at)
        if not 0 <= index < count:
            raise ValueError(f"{what} {index} of {count}")
        return at

    return step


def _union(branches: Sequence[Step]) -> Step:
    check = _index(len(branches), "branch of a union")

    def step(body: bytes, at: int) -> int:
        start = check(body, at)
        return branches[_number(body, at)[0]](body, start)

    return step


def _record(fields: Sequence[Step]) -> Step:
    def step(body: bytes, at: int) -> int:
        for field in fields:
            at = field(body, at)
        return at

    return step


def _blocks(item: Step) -> Step:
    def step(body: bytes, at: int) -> int:
        count, at = _number(body, at)
        while count:
            if count < 0:  # the block's size in bytes follows, for those who skip it
                count, at = (-count if count > _LEAST else 0), _long(body, at)
            if count > len(body) - at:  # nor may items of no size fill the memory
                raise EOFError
            for _ in range(count):
                at = item(body, at)
            count, at = _number(body, at)
        return at

    return step


_PRIMITIVES: dict[str, Step] = {
    "null": lambda _, at: at,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _fixed(4),
    "double": _fixed(8),
    "bytes": _bytes,
    "string": _bytes,
}
