"""A worker's entries in the ledger, and the transactions that carry them; Kafka stands outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from shadowlane.errors import BrokerUnreachableError, ModelError, TransactionAbortedError
from shadowlane.kafka import TopicNames
from shadowlane.replay_worker import Tally, Target
from shadowlane.replay_worker._ledger import Book, ledger_entry
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._records import Records
from shadowlane.schemas import Codec, LedgerEntry

TARGET = Target("fraud", "s", run="may")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CODEC = Codec(LedgerEntry)


class Batch:
    """What a batch came to, as far as the records look at it."""

    def __init__(self, compared: int) -> None:
        self.taken = self.compared = compared
        self.outgoing: Sequence[Outgoing] = [Outgoing("shadow-comparisons", [], [])]
        self.errors, self.fault = Counter[str](), None

    def count(self, tally: Tally) -> None:
        """As any batch of requests that were all compared."""
        tally.requests += self.compared
        tally.compared += self.compared

    def contexts(self) -> Any:
        """Nobody traces here."""
        raise AssertionError


class Kept:
    """An outbox that keeps what is sent."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.entries: list[LedgerEntry] = []
        self.offsets: list[Any] = []
        self._failure = failure

    def send(self, results: Sequence[Outgoing], offsets: Sequence[Any], _group: Any) -> None:
        """Keep it, or fail."""
        if self._failure is not None:
            raise self._failure
        self.entries += entries(results)
        self.offsets += offsets


def entries(results: Sequence[Outgoing]) -> list[LedgerEntry]:
    """What of the results goes to the ledger."""
    return [CODEC.decode(value) for each in results if each.topic == "shadow-ledger" for value in each.values]


@pytest.fixture
def records() -> Records:
    """Of a worker that has just started."""
    return Records(TARGET, TopicNames(), "w-0")


def test_an_entry_says_what_a_worker_has_done() -> None:
    """Under its own id, role, shadow and run; what it observed became a comparison or an error."""
    tally = Tally(compared=3, errors=Counter(predict=2), lost=4, restarts=1, skipped=9)
    tally.missing_features["age"] = 7
    tally.unexpected_features["colour"] = 8
    assert ledger_entry(TARGET, "w-0", tally, NOW, final=True) == LedgerEntry(
        producer_id="w-0",
        role="worker",
        model="fraud",
        shadow="s",
        run="may",
        started_at=tally.started_at,
        recorded_at=NOW,
        observed=5,
        compared=3,
        errors={"predict": 2},
        lost=4,
        missing_features={"age": 7},
        unexpected_features={"colour": 8},
        restarts=1,
        final=True,
    )


def test_an_entry_is_sent_under_the_workers_id() -> None:
    """So that all entries of a worker lie in one partition, in order."""
    ((source,), (value,)) = Book(TARGET, "w-0", "shadow-ledger").entry(Tally())[1:]
    assert source.key() == b"w-0"
    assert source.timestamp()[1] == int(CODEC.decode(value).recorded_at.timestamp() * 1000)


def test_the_first_batch_carries_an_entry_that_counts_it(records: Records) -> None:
    """It counts the batch that its own transaction commits; the tally itself waits for that."""
    tally, batch = Tally(compared=10), Batch(5)
    (entry,) = entries(records.outgoing(batch, tally))  # type: ignore[arg-type]
    assert entry.compared == 15
    assert not entry.final
    assert tally.compared == 10


def test_an_entry_that_was_not_committed_goes_with_the_next_batch(records: Records) -> None:
    """An aborted transaction takes its entry along; a committed one is enough for a while."""
    tally, batch = Tally(), Batch(5)
    message: Any = Message()
    records.outgoing(batch, tally)  # type: ignore[arg-type]
    records.aborted(batch, tally, 0.0, TransactionAbortedError("moved"))  # type: ignore[arg-type]
    assert tally.aborted == 1
    assert len(entries(records.outgoing(batch, tally))) == 1  # type: ignore[arg-type]
    records.committed(batch, [message], tally, 0.0, 0.0)  # type: ignore[arg-type]
    assert tally.compared == 5
    assert entries(records.outgoing(batch, tally)) == []  # type: ignore[arg-type]


class Message:
    """A message, as far as its place in time matters."""

    def partition(self) -> int:
        """Its partition."""
        return 2

    def timestamp(self) -> tuple[int, int]:
        """Its time."""
        return 1, 5_000


def test_the_time_reached_in_each_partition_is_noted(records: Records) -> None:
    """For the lag in seconds."""
    tally, message = Tally(), Message()
    records.committed(Batch(1), [message], tally, 0.0, 0.0)  # type: ignore[arg-type, list-item]
    assert tally.reached == {2: 5.0}


@contextmanager
def ends(records: Records, outbox: Kept, tally: Tally) -> Iterator[None]:
    """The records' last word goes into this outbox."""
    with records.closed_into(outbox, tally):  # type: ignore[arg-type]
        yield


def test_the_last_entry_is_final_and_moves_no_offset(records: Records) -> None:
    """It is a transaction of its own."""
    outbox = Kept()
    with ends(records, outbox, Tally(requests=2, compared=2)):
        pass
    (entry,) = outbox.entries
    assert (entry.final, entry.compared, outbox.offsets) == (True, 2, [])


def test_a_worker_that_gives_up_closes_its_books_too(records: Records) -> None:
    """Too many errors end it in good order."""
    outbox = Kept()
    with pytest.raises(ModelError), ends(records, outbox, Tally(requests=2)):
        raise ModelError("too many")
    assert outbox.entries[0].final


def test_a_worker_that_kafka_ended_says_no_more(records: Records) -> None:
    """It was fenced, or nothing can be sent: another try would wait in vain, and hide the reason."""
    outbox = Kept()
    with pytest.raises(TransactionAbortedError), ends(records, outbox, Tally(requests=2)):
        raise TransactionAbortedError("again and again")
    assert outbox.entries == []


def test_a_last_entry_that_cannot_be_sent_is_said(records: Records, caplog: pytest.LogCaptureFixture) -> None:
    """It is no reason to fail what is done."""
    with ends(records, Kept(BrokerUnreachableError("nobody answers")), Tally(requests=2)):
        pass
    assert "last entry of this worker was not sent: nobody answers" in caplog.text


def test_a_worker_that_did_nothing_has_no_books(records: Records) -> None:
    """A spare worker writes nothing."""
    outbox = Kept()
    with ends(records, outbox, Tally()):
        pass
    assert outbox.entries == []
