"""Why a request has no comparison: texts of foreign exceptions, fit to be sent."""

from __future__ import annotations

from shadowlane.schemas import Failure


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise SystemExit


def failed(error: BaseException, instead: str | None = None) -> Failure:
    """The failure of a model that raises this."""
    try:
        raise error  # noqa: TRY301 (for its traceback)
    except BaseException as caught:
        return Failure.of("predict", caught, instead=instead)


def test_its_texts_are_cut() -> None:
    """A message keeps its beginning, a traceback its end."""
    failure = failed(ValueError("begin" + "x" * 5000 + "end"))
    assert failure.message.startswith("begin")
    assert len(failure.message) == 1_000
    assert failure.traceback is not None
    assert failure.traceback.endswith("end\n")
    assert len(failure.traceback) == 4_000


def test_its_texts_can_be_encoded() -> None:
    """A lone surrogate, which UTF-8 has no form for, becomes a question mark."""
    failure = failed(ValueError("a\ud800b"))
    assert failure.message == "a?b"
    "".join(filter(None, failure[:4])).encode()


def test_an_exception_that_cannot_say_what_it_is() -> None:
    """It has a type, and no message."""
    assert failed(MuteError())[:3] == ("predict", "MuteError", "")


def test_other_words_instead() -> None:
    """What the exception holds is then nowhere, and its places are."""
    failure = failed(ValueError("secret"), instead="ValueError in model:7")
    assert failure.message == "ValueError in model:7"
    assert failure.traceback is not None
    assert "test_failure.py" in failure.traceback
    assert "secret" not in failure.traceback.replace('ValueError("secret")', "")
