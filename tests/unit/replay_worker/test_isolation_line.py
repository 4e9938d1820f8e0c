"""What a model's process says is not believed before it is checked."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.replay_worker import FeatureBatch
from shadowlane.replay_worker._answers import ANSWERS, no_answers
from shadowlane.replay_worker._answers import FEATURES as FEATURES_TYPE
from shadowlane.replay_worker.isolation import _said
from shadowlane.replay_worker.isolation._channel import Channel, ChannelError
from shadowlane.replay_worker.isolation._process import DiedError
from shadowlane.replay_worker.isolation._progress import IDLE, READING, TOGETHER, Marker, Progress
from shadowlane.replay_worker.isolation._said import NonsenseError
from shadowlane.replay_worker.isolation._task import Task
from shadowlane.schemas import Failure

FEATURES = pa.nulls(4, pa.struct([pa.field("missing", pa.list_(pa.string()))]))


def answers(*rows: int, **changed: list[Any]) -> pa.RecordBatch:
    """Answers to these rows."""
    count = len(rows)
    columns: dict[str, list[Any]] = {
        "row": list(rows),
        "prediction": [{"score": 0.5, "label": None, "vector": None, "ranking": None}] * count,
        "latency_ms": [1.0] * count,
        "basis": ["single"] * count,
        "cpu_ms": [1.0] * count,
        "gpu_ms": [None] * count,
        "fetched": [None] * count,
    }
    columns |= changed
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in ANSWERS], schema=ANSWERS)


def fetched(**changed: Any) -> dict[str, Any]:
    """Features that were fetched."""
    return {each.name: [] for each in FEATURES_TYPE} | changed


def task() -> Task:
    """Four requests on their way."""
    return Task(FeatureBatch(FEATURES))


def head(failures: Any = (), starved: Any = ()) -> dict[str, Any]:
    """Of a chunk, as it comes out of JSON."""
    return {"is": "chunk", "failures": list(failures), "starved": list(starved)}


GOOD = ["predict", "KeyError", "'x'", None, 1]
NONSENSE: dict[str, Callable[[], tuple[dict[str, Any], pa.RecordBatch | None]]] = {
    "a row that was not asked about": lambda: (head(), answers(4)),
    "a row before the first": lambda: (head(), answers(-1)),
    "a row twice": lambda: (head(), answers(1, 1)),
    "no row": lambda: (head(), answers(0, row=[None])),
    "no prediction": lambda: (head(), answers(0, prediction=[None])),
    "no latency": lambda: (head(), answers(0, latency_ms=[None])),
    "a latency that is no number": lambda: (head(), answers(0, latency_ms=[float("nan")])),
    "a latency before the call": lambda: (head(), answers(0, latency_ms=[-1.0])),
    "endless processor time": lambda: (head(), answers(0, cpu_ms=[float("inf")])),
    "a GPU before the call": lambda: (head(), answers(0, gpu_ms=[-1.0])),
    "a basis that nobody knows": lambda: (head(), answers(0, basis=["guessed"])),
    "a hole in a vector": lambda: (head(), answers(0, prediction=[{"vector": [1.0, None]}])),
    "a hole in a ranking": lambda: (head(), answers(0, prediction=[{"ranking": ["a", None]}])),
    "a feature without its value": lambda: (head(), answers(0, fetched=[fetched(numbers=[("a", None)])])),
    "a vector with a hole": lambda: (head(), answers(0, fetched=[fetched(vectors=[("a", [None])])])),
    "a feature without a name": lambda: (head(), answers(0, fetched=[fetched(missing=[None])])),
    "features of no kind": lambda: (head(), answers(0, fetched=[fetched(numbers=None)])),
    "no answers at all": lambda: (head(), None),
    "an answer that is a failure": lambda: (head([[0, *GOOD]]), answers(0)),
    "a failure twice": lambda: (head([[0, *GOOD], [0, *GOOD]]), no_answers()),
    "a failure of no row": lambda: (head([[True, *GOOD]]), no_answers()),
    "a failure that is short": lambda: (head([[0, "predict"]]), no_answers()),
    "a failure that is none": lambda: (head([7]), no_answers()),
    "a stage of ours": lambda: (head([[0, "decode", *GOOD[1:]]]), no_answers()),
    "no words": lambda: (head([[0, "predict", None, "", None, 1]]), no_answers()),
    "too many words": lambda: (head([[0, "predict", "E", "x" * 1_000_000, None, 1]]), no_answers()),
    "words of no alphabet": lambda: (head([[0, "predict", "E", "\ud800", None, 1]]), no_answers()),
    "a trace that is none": lambda: (head([[0, "predict", "E", "", 7, 1]]), no_answers()),
    "no attempts": lambda: (head([[0, "predict", "E", "", None, 0]]), no_answers()),
    "no failures": lambda: ({"is": "chunk"}, no_answers()),
    "hunger of no row": lambda: (head(starved=["x"]), no_answers()),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_not_written_down(case: str) -> None:
    """It ends the process that said it; what was known before stays as it was."""
    asked = task()
    with pytest.raises(NonsenseError):
        asked.take(np.arange(4), *NONSENSE[case]())
    assert asked.done == 0
    asked.take(np.arange(4), head([[3, *GOOD]]), answers(0, 1, 2))
    answered = asked.answered(None)
    assert (answered.done, answered.rows.tolist()) == (4, [0, 1, 2])
    assert answered.failures == [(3, Failure("predict", "KeyError", "'x'", None, 1))]


def test_parts_that_are_left_out_are_no_holes() -> None:
    """A prediction has one part or several; features were fetched for some requests, or for none."""
    asked = task()
    predictions = [{"score": 0.5}, {"vector": [1.0]}, {"ranking": []}, {"label": "a", "score": 1.0}]
    given = [None, fetched(numbers=[("a", 1.0)], vectors=[("v", [])]), None, fetched()]
    asked.take(np.arange(4), head(), answers(0, 1, 2, 3, prediction=predictions, fetched=given))
    assert asked.done == 4


@pytest.mark.parametrize("count", [10**400, 2**63, -1, True, 1.0])
def test_counts_fit_into_the_ledger(count: object) -> None:
    """A number of hundreds of digits is nonsense, and no error in whoever adds it up or writes it."""
    with pytest.raises(NonsenseError):
        _said.counts({"amount": count})


@pytest.mark.parametrize("figure", [10**400, float("nan"), float("inf"), -1, True, "1"])
def test_a_figure_is_a_number_that_a_float_can_hold(figure: object) -> None:
    """Python's integers, and JSON's, are as large as one likes."""
    with pytest.raises(NonsenseError):
        _said.amount(figure)


def test_what_is_settled_is_not_settled_again() -> None:
    """A second answer to the same request is nonsense, and so is its failure after an answer."""
    asked = task()
    asked.take(np.arange(4), head(), answers(0))
    for said in ((head(), answers(0)), (head([[0, *GOOD]]), no_answers())):
        with pytest.raises(NonsenseError):
            asked.take(np.arange(4), *said)


def test_all_that_was_asked_must_be_answered() -> None:
    """Unless the process was told to leave the rest."""
    asked = task()
    asked.take(np.arange(4), head(), answers(0, 1))
    with pytest.raises(NonsenseError):
        asked.end(np.arange(4), is_cut=False)
    asked.jobs.clear()
    asked.end(np.arange(4), is_cut=True)
    assert [job.rows.tolist() for job in asked.jobs] == [[2, 3]]


@given(
    given=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_whatever_json_can_say_is_checked(given: Any) -> None:
    """It is right, or it is nonsense; nothing else is raised."""
    checks: list[Callable[[Any], object]] = [
        lambda value: _said.places(4, value),
        lambda value: _said.failures(4, value),
        _said.counts,
        _said.amount,
        _said.text,
        _said.names,
    ]
    for check in checks:
        try:
            check(given)
        except NonsenseError:
            continue


def test_who_dies_is_to_blame_where_that_is_known() -> None:
    """A crash is tried once more, alone, after what was survived before it; a time limit is not."""
    asked, death = task(), DiedError("crash", "ModelProcessDied", "gone", 1)
    first = asked.jobs.popleft()
    asked.bury(first, death)
    assert [job.rows.tolist() for job in asked.jobs] == [[0], [1], [2, 3]]
    assert all(job.apart for job in asked.jobs)
    asked.bury(asked.jobs.popleft(), DiedError("timeout", "ModelTimeout", "late", 0))
    asked.bury(asked.jobs.popleft(), DiedError("crash", "ModelProcessDied", "gone", 0))
    assert [job.rows.tolist() for job in asked.jobs] == [[2, 3]]
    assert dict(asked.answered(None).failures) == {
        0: Failure("timeout", "ModelTimeout", "late", None, 1),
        1: Failure("crash", "ModelProcessDied", "gone", None, 2),
    }


@pytest.mark.parametrize("row", [READING, 99, -99])
def test_where_nobody_is_known_each_is_asked_alone(row: int) -> None:
    """The one to blame is then found by itself."""
    asked = task()
    asked.bury(asked.jobs.popleft(), DiedError("crash", "ModelProcessDied", "gone", row))
    assert [job.rows.tolist() for job in asked.jobs] == [[0], [1], [2], [3]]


def test_a_batch_that_dies_together_is_asked_apart() -> None:
    """Then the row is known."""
    asked = task()
    asked.bury(asked.jobs.popleft(), DiedError("crash", "ModelProcessDied", "gone", TOGETHER))
    assert [(job.rows.tolist(), job.apart) for job in asked.jobs] == [([0, 1, 2, 3], True)]


def test_a_process_that_dies_before_it_is_asked_blames_nobody_for_a_while() -> None:
    """Three times the same is asked again; then somebody must be to blame."""
    asked = task()
    for _ in range(3):
        asked.bury(asked.jobs.popleft(), DiedError("crash", "ModelProcessDied", "gone", IDLE))
        assert [job.rows.tolist() for job in asked.jobs] == [[0, 1, 2, 3]]
    asked.bury(asked.jobs.popleft(), DiedError("crash", "ModelProcessDied", "gone", IDLE))
    assert len(asked.jobs) == 4


def line(**limits: Any) -> tuple[Channel, socket.socket]:
    """Our end, and theirs as it is."""
    ours, theirs = socket.socketpair()
    return Channel(ours, **limits), theirs


def test_a_message_arrives_as_it_was_sent() -> None:
    """Head and columns."""
    ours, theirs = line()
    other = Channel(theirs)
    sender = threading.Thread(target=other.send, args=(head(), answers(*range(4))))
    sender.start()
    said, columns = ours.receive(_said.SCHEMAS)
    sender.join()
    assert said == head()
    assert columns is not None
    assert columns.equals(answers(*range(4)))
    ours.close()
    other.close()


def framed(text: bytes, body: bytes = b"", word: bytes = b"slm1") -> bytes:
    """A message by hand."""
    return struct.pack("<4sIQ", word, len(text), len(body)) + text + body


def stream(batch: pa.RecordBatch) -> bytes:
    """Columns as they travel."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


OTHER = pa.RecordBatch.from_arrays([pa.array([1])], names=["row"])
NOISE = {
    "noise": os.urandom(4_096),
    "another word": framed(b"{}", word=b"slm0"),
    "no JSON": framed(b"{"),
    "no head": framed(b"[]"),
    "deep": framed(b"[" * 100_000),
    "no text": framed(b"\xff"),
    "no columns": framed(b'{"is": "chunk"}', b"\x00" * 64),
    "other columns": framed(b'{"is": "chunk"}', stream(OTHER)),
    "columns of another message": framed(b'{"is": "done"}', stream(answers(0))),
    "too much": struct.pack("<4sIQ", b"slm1", 2, 1 << 40) + b"{}",
    "too many words": struct.pack("<4sIQ", b"slm1", (1 << 32) - 1, 0),
    "half of it": framed(b"{}" * 100)[:50],
    "nothing": b"",
}


@pytest.mark.parametrize("case", NOISE)
def test_what_nobody_can_read_is_an_error_of_the_line(case: str) -> None:
    """Noise, other columns, more than is taken, half a message: never another exception, never a wait."""
    ours, theirs = line(most_bytes=1 << 20, patience=5)
    theirs.sendall(NOISE[case])
    theirs.close()
    with pytest.raises(ChannelError):
        ours.receive(_said.SCHEMAS)
    ours.close()


@given(place=st.integers(0, 2_000), byte=st.integers(0, 255))
def test_a_byte_of_the_columns_that_is_another(place: int, byte: int) -> None:
    """The message is refused, or what it says can be read whole."""
    body = bytearray(stream(answers(*range(8))))
    body[place % len(body)] = byte
    ours, theirs = line(most_bytes=1 << 20, patience=5)
    theirs.sendall(framed(b'{"is": "chunk"}', bytes(body)))
    theirs.close()
    try:
        _, columns = ours.receive(_said.SCHEMAS)
    except ChannelError:
        return
    finally:
        ours.close()
    if columns is not None:
        columns.to_pylist()


def test_who_stands_still_in_mid_message_holds_nobody() -> None:
    """After its patience the line is given up, though the other side lives."""
    ours, theirs = line(patience=1)
    theirs.sendall(framed(b"{}" * 100)[:50])
    with pytest.raises(ChannelError):
        ours.receive()
    ours.close()
    theirs.close()


def test_where_it_is_outlives_it_and_noise_in_it_is_no_harm() -> None:
    """The replay reads what was written last, and IDLE where the file was cut."""
    progress = Progress.create()
    marker = Marker(progress.descriptor)
    marker.at(7)
    marker.beat()
    assert progress.read() == (7, 1)
    assert not marker.is_enough()
    progress.enough()
    assert marker.is_enough()
    os.ftruncate(progress.descriptor, 0)
    assert progress.read() == (IDLE, 0)
    progress.close()
