"""python:package.module:attribute: a function of features, or a class with predict_one and/or predict."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch, RequestContext
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._inputs import BATCH, DICTS, Form, form_of
from shadowlane.replay_worker.models._outputs import read_tables
from shadowlane.replay_worker.models._protocol import LoadedModel


class Ask:
    """A function of a model, and whether it takes the context as well."""

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        self._call = _run_to_its_end(function)
        self.takes_context = _takes_context(function, what)

    def __call__(self, value: Any, context: Any) -> Any:
        """Ask the model."""
        return self._call(value, context=context) if self.takes_context else self._call(value)


class Inputs:
    """A batch, made into what one function or the other takes when that is asked."""

    def __init__(self, features: FeatureBatch, one: Form, many: Form) -> None:
        self.features, self._one, self._many = features, one, many

    @cached_property
    def contexts(self) -> list[RequestContext]:
        """Whose requests these are, and when they were made."""
        return self.features.contexts()

    @cached_property
    def together(self) -> Any:
        """What `predict` takes."""
        return self._many.prepare(self.features)

    def apart(self, row: int) -> Any:
        """What `predict_one` is given of one request."""
        if self._apart is None:
            return self._one.single(self._one.prepare(self.features.take([row])), 0)
        return self._one.single(self._apart, row)

    @cached_property
    def _apart(self) -> Any:
        """All requests in the form of `predict_one`; None where one of them has none: which is seen then."""
        if self._one is self._many:
            return self.together
        try:
            return self._one.prepare(self.features)
        except Exception:
            return None


class Single(NamedTuple):
    """What one request is asked with."""

    value: Any
    context: Any


class PythonModel(LoadedModel):
    """A function of a features dict, or an object with predict_one and/or predict."""

    def __init__(self, target: Any, source: ModelSource) -> None:
        one, many = getattr(target, "predict_one", None), getattr(target, "predict", None)
        if one is None and many is None and callable(target):
            one = target
        if one is None and many is None:
            raise ModelError(
                f"a {type(target).__name__} is no model: neither callable, nor has it predict_one or predict"
            )
        self._one = None if one is None else Ask(one, "predict_one" if one is not target else "the function")
        self._many = None if many is None else Ask(many, "predict")
        self.names = tuple(source.features or getattr(target, "features", ()))
        self.wants_context = any(ask.takes_context for ask in (self._one, self._many) if ask)
        form = source.input or getattr(target, "input", None)
        self._form_of_one, self._form_of_many = (form_of(form, self.names),) * 2 if form else (DICTS, BATCH)

    def prepare(self, features: FeatureBatch) -> Inputs:
        """What the functions take: made here, but for what only some of the calls need."""
        inputs = Inputs(features, self._form_of_one, self._form_of_many)
        if self._many is not None or self._form_of_one is self._form_of_many:
            _ = inputs.together
        if self.wants_context:
            _ = inputs.contexts
        return inputs

    def single(self, inputs: Inputs, row: int) -> tuple[Any, int]:
        """Cut out one request: one that `predict` is asked about is a batch of its own."""
        if self._one is not None:
            whose: Any = inputs.contexts[row] if self._one.takes_context else None
            return Single(inputs.apart(row), whose), 0
        whose = inputs.contexts[row : row + 1] if self.wants_context else None
        return Single(self._form_of_many.alone(inputs.together, row), whose), 0

    def one(self, inputs: Any, row: int) -> object:
        """Ask about one request, through a batch of one where the model knows only batches."""
        alone = inputs if type(inputs) is Single else self.single(inputs, row)[0]
        ask = self._one or self._many
        assert ask is not None  # noqa: S101 - for the type checker; the constructor saw to it
        return ask(alone.value, alone.context)

    def many(self, inputs: Inputs) -> Any:
        """Ask about all at once, or one after the other where the model knows no batches."""
        if self._many is None:
            return [self.one(inputs, row) for row in range(len(inputs.features))]
        return self._many(inputs.together, inputs.contexts if self._many.takes_context else None)

    def read_each(self, answers: Sequence[Any]) -> pa.StructArray:
        """Answers to one request each; those of `predict` are batches of one."""
        return read_tables(answers) if self._one is None else super().read_each(answers)


class DeviceModel(PythonModel):
    """One that computes on a device which answers later, and says how to wait for it: `synchronize`."""

    def __init__(self, target: Any, source: ModelSource) -> None:
        super().__init__(target, source)
        self._synchronize: Callable[[], object] = target.synchronize

    def wait(self) -> None:
        """Wait for the device."""
        self._synchronize()


def _takes_context(function: Callable[..., Any], what: str) -> bool:
    """Whether it has a parameter `context`.

    Raises:
        ModelError: it cannot be called with features, and perhaps a context.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code that does not say
        return False
    wanted = signature.parameters.get("context")
    takes = wanted is not None and wanted.kind is not wanted.POSITIONAL_ONLY
    try:
        signature.bind(None, **({"context": None} if takes else {}))
    except TypeError as error:
        raise ModelError(
            f"{what} is called with the features, and with context=… if it has such a parameter: {error}"
        ) from None
    return takes


def _run_to_its_end(function: Callable[..., Any]) -> Callable[..., Any]:
    """An async function as one that answers."""
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)):
        return function
    run = _loop().run_until_complete
    return lambda *values, **named: run(function(*values, **named))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The one event loop of all models: what `load` opens on it, `predict_one` can use."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def load(source: ModelSource) -> LoadedModel:
    """Import the attribute; a class is made an instance."""
    target = attribute_of(source.uri)
    kind = DeviceModel if callable(getattr(target, "synchronize", None)) else PythonModel
    return kind(target, source)


def attribute_of(uri: str) -> Any:
    """What python:package.module:attribute names; of a class an instance, loaded if it has a `load`.

    Raises:
        ModelError: the URI is none.
    """
    _, _, rest = uri.partition(":")
    module_name, colon, attribute = rest.partition(":")
    if not (colon and module_name and attribute):
        raise ModelError(f"model {uri!r}: write python:package.module:attribute")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: models lie beside the user's code
    target: Any = importlib.import_module(module_name)
    for name in attribute.split("."):
        target = getattr(target, name)
    return _instance(target) if inspect.isclass(target) else target


def _instance(kind: type[Any]) -> Any:
    """An object of this class, with what it loads loaded."""
    if isinstance(inspect.getattr_static(kind, "load", None), (classmethod, staticmethod)):
        return kind.load()
    made = kind()
    if callable(getattr(made, "load", None)):
        _run_to_its_end(made.load)()
    return made
