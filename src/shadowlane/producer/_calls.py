"""One call of the primary, watched: what `Hook.observe` returns and `Hook.wrap` uses."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

#: What `Call.prediction` is until it is set: None is a thing that a model may answer.
NOT_SET: Any = object()

_TAKES = "wrap takes a function or callable object, sync or async, that returns one prediction"


class Ending(Protocol):
    """What becomes of a call when it ends; it never raises."""

    def __call__(self, error: BaseException | None, prediction: Any, latency_ms: float) -> object:
        """The primary raised this, or answered that, in so much time."""


class Call:
    """Times the primary from `with` to its end.

    Attributes:
        prediction: What the primary answered; set it inside the `with`.
    """

    __slots__ = ("_begun", "_on_end", "prediction")

    def __init__(self, on_end: Ending) -> None:
        self._on_end = on_end
        self._begun = 0
        self.prediction = NOT_SET

    def __enter__(self) -> Self:
        self._begun = time.perf_counter_ns()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._on_end(error, self.prediction, (time.perf_counter_ns() - self._begun) / 1_000_000)


def wrapped(function: Callable[P, R], observe: Callable[P, Call]) -> Callable[P, R]:
    """The predict function, each of its calls observed; sync stays sync and async stays async.

    Raises:
        TypeError: it is nothing that answers a call with one prediction.
    """
    answers_later = is_async(function)

    @wraps(function)
    def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        with observe(*args, **kwargs) as call:
            prediction = call.prediction = function(*args, **kwargs)
        return prediction

    @wraps(function)
    async def observed_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        with observe(*args, **kwargs) as call:
            prediction = call.prediction = await cast("Any", function)(*args, **kwargs)
        return prediction

    return cast("Callable[P, R]", observed_async if answers_later else observed)


def is_async(function: Any) -> bool:
    """Whether its answer is to be awaited.

    Raises:
        TypeError: it cannot be called, or its answer is no prediction.
    """
    if isinstance(function, (staticmethod, classmethod)):
        raise TypeError(f"{_TAKES}: put it below @{type(function).__name__}, next to the function")
    if not callable(function):
        raise TypeError(f"{_TAKES}, not {type(function).__name__}")
    called = function  # of a partial its function in the end, of an object its `__call__`
    while isinstance(called, partial):
        called = called.func
    if not inspect.isroutine(called) and not inspect.isclass(called):
        called = type(called).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise TypeError(
            f"{_TAKES}; {name} is a generator: it yields many. Use observe() around it, "
            "and set call.prediction to what is to be compared"
        )
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def features_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Reads the features from a call's arguments: the first one, after a method's own object."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # many of C have none
        names = []
    if names and names[0] in ("self", "cls"):
        del names[0]
        index = 1
    else:
        index = 0
    name = names[0] if names else None

    def first(*args: Any, **kwargs: Any) -> Any:
        return args[index] if len(args) > index else kwargs.get(cast("str", name))

    return first
