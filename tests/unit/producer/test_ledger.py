"""The ledger: what a hook says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.producer import Hook, Limits, Stats
from shadowlane.producer._encode import Encoder, Subject
from shadowlane.producer._ledger import Ledger
from shadowlane.producer._outbox import KafkaOutbox
from shadowlane.producer._stats import Counts
from shadowlane.schemas import Codec, LedgerEntry
from strategies import moderate

from .conftest import MOCK
from .test_never_hurts import GENEROUS, publish, until

counts = st.integers(0, 10**6)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[LedgerEntry]:
    """The ledger entries that hooks of this test send."""
    sent: list[LedgerEntry] = []
    original = KafkaOutbox.send_ledger

    def send(outbox: KafkaOutbox, message: object) -> None:
        sent.append(Codec(LedgerEntry).decode(message.value))  # type: ignore[attr-defined]
        original(outbox, message)  # type: ignore[arg-type]

    monkeypatch.setattr(KafkaOutbox, "send_ledger", send)
    return sent


def test_the_last_entry_says_all(entries: list[LedgerEntry]) -> None:
    """At close, a final entry with each request in one place."""
    with Hook(model="ranker", model_version="7", kafka=MOCK, sampling=0.5) as hook:
        for number in range(40):
            publish(hook, entity_id=f"user-{number}")
        publish(hook, features=None, entity_id="42")  # within the sample
        with pytest.raises(ValueError, match="no"), hook.observe({}):
            raise ValueError("no")
        hook.close(timeout=GENEROUS)
    entry, stats = entries[-1], hook.stats()
    assert (entry.final, entry.role, entry.model, entry.model_version) == (True, "hook", "ranker", "7")
    assert entry.producer_id == stats.producer_id
    assert (entry.observed, entry.primary_failed, entry.dropped) == (42, 1, {"not_encodable": 1})
    assert entry.sampled_out + entry.published == 40
    assert 0 < entry.sampled_out == stats.sampled_out
    assert entry.delivered == entry.published
    assert entry.started_at <= entry.recorded_at


def test_entries_come_on_a_schedule_while_there_is_news(entries: list[LedgerEntry]) -> None:
    """A hook that serves sends its counts again and again; one with nothing new keeps still."""
    with Hook(model="ranker", kafka=MOCK, limits=Limits(ledger_seconds=0.1)) as hook:
        publish(hook)
        assert until(lambda: entries and entries[-1].delivered == 1)
        said = len(entries)
        publish(hook)
        assert until(lambda: entries[-1].delivered == 2)
        assert len(entries) > said
        hook.close(timeout=GENEROUS)
    assert [entry.final for entry in entries] == [False] * (len(entries) - 1) + [True]


def test_the_first_entry_comes_at_once(entries: list[LedgerEntry]) -> None:
    """The ledger knows of a process that is killed before its first scheduled entry."""
    with Hook(model="ranker", kafka=MOCK, limits=Limits(ledger_seconds=3600)) as hook:
        publish(hook)
        assert until(lambda: entries)
        assert not entries[0].final


def test_nothing_observed_nothing_said(entries: list[LedgerEntry]) -> None:
    """A hook that served no request sends no entry."""
    Hook(model="ranker", kafka=MOCK).close()
    assert entries == []


@moderate
@given(counts, counts, counts, counts, st.dictionaries(st.text(max_size=5), counts, max_size=3))
def test_every_entry_adds_up(
    queued: int, primary_failed: int, sampled_out: int, published: int, dropped: dict[str, int]
) -> None:
    """Also one from the middle: what still waits in the process is in no sum of it."""
    observed = queued + primary_failed + sampled_out + published + sum(dropped.values())
    stats = Stats(
        producer_id="p-1",
        observed=observed,
        primary_failed=primary_failed,
        sampled_out=sampled_out,
        published=published,
        dropped=dropped,
    )
    assert stats.queued == queued
    subject = Subject("ranker", "7")
    entry = Ledger(subject, Counts("p-1"), 10)._entry(stats, final=False)
    assert entry.observed == primary_failed + sampled_out + published + sum(dropped.values())
    message = Encoder(subject, "p-1", "mark").ledger(entry)
    assert Codec(LedgerEntry).decode(message.value) == entry
    assert message.key == "p-1"
