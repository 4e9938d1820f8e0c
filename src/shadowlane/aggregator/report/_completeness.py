"""The balance: each request that a hook observed is at one station, or in a remainder that is shown."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.report._ledger import places, worker_counts
from shadowlane.aggregator.report.figures import Completeness, Ledger, Station, WorkerCounts
from shadowlane.aggregator.statistics import rate
from shadowlane.lake import OpenLake

# What hooks had delivered by the time of the newest request that is in the lake: whatever they delivered
# after their last entry before it can still be on its way.
_DELIVERED_BY = """
SELECT coalesce(sum(delivered), 0)::BIGINT FROM (
  SELECT max(delivered) AS delivered FROM ledger_entry
  WHERE role = 'hook' AND recorded_at <= $newest::TIMESTAMPTZ
  GROUP BY producer_id, model_version, started_at
)
"""

_NEWEST = """
SELECT max(event_time)::VARCHAR FROM (
  SELECT event_time FROM compared UNION ALL SELECT event_time FROM errored
)
"""


def completeness(lake: OpenLake, ledger: Ledger | None, compared: int, errored: int) -> Completeness:
    """The balance of all counts, as far as these are of the same requests."""
    workers = worker_counts(lake)
    if ledger is None or ledger.unexplained is None or ledger.uncounted is None:
        stations = tuple(_in_the_lake(compared, errored, 0))
        return Completeness(
            stations=stations, pending=None, unexplained=None, unexplained_rate=None, workers=workers
        )
    lost = workers.lost if workers else 0
    in_lake = places(lake)
    remainder = max(0, ledger.delivered - in_lake - lost)
    pending = _pending(lake, ledger, workers, remainder)
    unexplained = remainder - pending
    return Completeness(
        stations=(
            *_before_kafka(ledger),
            *_in_the_lake(compared, errored, max(0, in_lake - compared - errored)),
            *_station("lost", lost, "retention removed them from Kafka before a worker read them"),
            *_station("pending", pending, "delivered after the newest request that is in the lake"),
            *_station("unexplained", unexplained, "delivered, and no count says where they are"),
            *_station("uncounted", ledger.uncounted, "in the lake, and in no hook's counts"),
        ),
        pending=pending,
        unexplained=unexplained,
        unexplained_rate=rate(unexplained, ledger.delivered),
        workers=workers,
    )


def _pending(lake: OpenLake, ledger: Ledger, workers: WorkerCounts | None, remainder: int) -> int:
    """How many of the remainder can still be on their way: none once all have ended in good order."""
    has_ended = not ledger.still_counting and workers is not None and not workers.still_counting
    if not remainder or has_ended:
        return 0
    [(newest,)] = lake.rows(_NEWEST)
    if newest is None:
        return remainder
    [(delivered_by,)] = lake.rows(_DELIVERED_BY, {"newest": newest})
    return min(remainder, max(0, ledger.delivered - int(delivered_by)))


def _before_kafka(ledger: Ledger) -> Iterator[Station]:
    yield Station(name="observed", requests=ledger.observed, means="seen by the hooks")
    yield from _station("primary_failed", ledger.primary_failed, "the primary gave no answer to compare with")
    yield from _station("sampled_out", ledger.sampled_out, "left out by sampling, as asked")
    for reason, dropped in ledger.dropped.items():
        yield from _station(f"dropped:{reason}", dropped, "given up by the hook rather than slow its caller")
    yield from _station("failed", ledger.failed, "refused by Kafka, or not acknowledged in time")
    open_ends = max(0, ledger.published - ledger.delivered - ledger.failed)
    yield from _station("unknown", open_ends, "handed to Kafka by hooks whose last entry is not a final one")
    yield Station(name="delivered", requests=ledger.delivered, means="acknowledged by Kafka; of these:")


def _in_the_lake(compared: int, errored: int, again: int) -> Iterator[Station]:
    yield Station(name="compared", requests=compared, means="both models answered")
    yield from _station("errored", errored, "the shadow failed")
    yield from _station("repeated", again, "sent again by a client: the first comparison counts")


def _station(name: str, requests: int, means: str) -> Iterator[Station]:
    if requests:
        yield Station(name=name, requests=requests, means=means)
