"""The error tree: one root, drawn at the top of its file, and all of it survives a pickle."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from shadowlane import errors
from shadowlane.errors import CodecError, MissingExtraError, Place, ShadowlaneError

_PLACE = Place("production-requests", 3, 129)
_CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BaseException) and each.__module__ == errors.__name__
]


def _instances(kind: type[ShadowlaneError]) -> list[ShadowlaneError]:
    """Errors of a class as they are raised."""
    if kind is MissingExtraError:
        return [MissingExtraError("worker", "The columnar codec")]
    if issubclass(kind, CodecError):
        return [kind("3 bytes too many", _PLACE), kind("3 bytes too many")]
    return [kind("what happened; what to do"), kind()]


def _drawn() -> dict[str, str]:
    """Each class in the tree at the top of `errors.py`, with the class it hangs from."""
    path: list[str] = []
    parents = {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_drawn_is_the_tree_there_is() -> None:
    """The drawing names each class once, beneath its parent, in the order of the file."""
    assert _drawn() == {each.__name__: each.__bases__[0].__name__ for each in _CLASSES}
    in_file = sorted(_CLASSES, key=lambda each: inspect.getsourcelines(each)[1])
    assert list(_drawn()) == [each.__name__ for each in in_file]


@pytest.mark.parametrize("kind", _CLASSES)
def test_one_root_catches_all(kind: type[ShadowlaneError]) -> None:
    """Each error has one parent, is a ShadowlaneError, and says in its docstring what it means."""
    assert issubclass(kind, ShadowlaneError)
    assert len(kind.__bases__) == 1
    assert kind.__doc__


@pytest.mark.parametrize("kind", _CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_a_pickle(kind: type[ShadowlaneError], protocol: int) -> None:
    """From one process to another an error keeps its class, its words, its fields and its notes."""
    for error in _instances(kind):
        error.add_note("seen by the worker")
        for back in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
            assert type(back) is kind
            assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_a_codec_error_says_where() -> None:
    """A codec's error names topic, partition and offset before its reason, where they are known."""
    assert str(CodecError("cut short", _PLACE)) == "production-requests[3]@129: cut short"
    assert str(CodecError("cut short")) == "cut short"
    assert CodecError("cut short", _PLACE).place == _PLACE
    assert CodecError("cut short", _PLACE).reason == "cut short"


def test_a_missing_extra_says_what_to_install() -> None:
    """The error for a missing extra is one line with the command that installs it."""
    error = MissingExtraError("worker", "The columnar codec")
    assert str(error) == "The columnar codec needs an extra: pip install 'shadowlane[worker]'"
    assert (error.extra, error.feature) == ("worker", "The columnar codec")


def test_a_place_is_a_value() -> None:
    """Places compare and hash by what they say, and survive a pickle."""
    assert pickle.loads(pickle.dumps(_PLACE)) == _PLACE
    assert len({_PLACE, Place("production-requests", 3, 129), Place("production-requests", 3, 130)}) == 2
