"""The redrive: find what failed, leave out what was compared since, read the rest again and replay it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import TYPE_CHECKING, Literal

from shadowlane.errors import LakeError, MissingExtraError, SettingsError
from shadowlane.kafka import TopicNames, require_topics
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._plan import CONTROL, WorkerPlan
from shadowlane.replay_worker._replay import open_replay
from shadowlane.replay_worker._tally import Tally
from shadowlane.replay_worker._worker import run_loop
from shadowlane.replay_worker.redrive._failures import (
    Failed,
    Selection,
    Spot,
    find_compared,
    find_failures,
)
from shadowlane.replay_worker.redrive._source import SpotSource
from shadowlane.settings import KafkaSettings

if TYPE_CHECKING:
    from shadowlane.lake import Lake
    from shadowlane.replay_worker.redrive._archive_source import ArchiveSource

log = logging.getLogger(__name__)

_WORKER_ID = "redrive"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests are read again; `auto`: those that Kafka no longer holds, in the lake's archive."""

    source: Literal["kafka", "lake", "auto"] = "kafka"
    lake: Lake = "./lake"


_KAFKA = Origin()


@dataclass(slots=True)
class Redriven:
    """What became of the requests whose last word was an error."""

    #: Selected errors, each request once.
    failed: int = 0
    #: Of these: compared since then, and left as they are.
    already_compared: int = 0
    #: Errors of requests that never were in the topic: of a shadow in the service's own process.
    elsewhere: int = 0
    #: Not there any more, by retention or because the topic was made anew.
    gone: int = 0
    redriven: int = 0
    #: Of these: read from the lake's archive.
    archived: int = 0
    compared: int = 0
    #: Failed again, by stage.
    errors: dict[str, int] = field(default_factory=dict)
    #: Could be read now, and are requests of another model.
    of_other_models: int = 0
    #: Not come to: it was a dry run, or was told to stop.
    left: int = 0

    def add(self, tally: Tally, taken: int, *, from_lake: bool) -> None:
        """Count what came of those that were read in one place."""
        self.redriven += taken
        self.archived += taken if from_lake else 0
        self.compared += tally.compared
        self.of_other_models += taken - tally.compared - tally.failed
        for stage, count in tally.errors.items():
            self.errors[stage] = self.errors.get(stage, 0) + count


def redrive(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    selection: Selection,
    *,
    stop: Flag,
    origin: Origin = _KAFKA,
    dry_run: bool = False,
    tick: Callable[[Tally], None] = lambda _tally: None,
) -> Redriven:
    """Replay the requests whose last word is an error, under the same identity.

    Whatever ends it, the next one goes on: what was compared meanwhile is left out.

    Raises:
        SettingsError: a run of second answers cannot be redriven.
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: another redrive of the same run is under way.
    """
    _check(plan)
    topics = TopicNames(kafka.topic_prefix)
    require_topics(kafka, [topics.requests, topics.comparisons, topics.errors, topics.ledger], stop)
    failures = find_failures(kafka, topics, plan.target, selection, stop)
    compared = find_compared(kafka, topics, plan.target, failures.by_spot, stop)
    wanted = {spot: each for spot, each in failures.by_spot.items() if spot not in compared}
    result = Redriven(
        failed=len(failures.by_spot), already_compared=len(compared), elsewhere=failures.elsewhere
    )
    log.info(
        "%s requests failed, %s of them were compared since; %s to go",
        *(f"{count:,}" for count in (result.failed, len(compared), len(wanted))),
    )
    if dry_run or stop.is_set() or not wanted:
        result.left = len(wanted)
        return result
    _replay(plan, kafka, origin, wanted, result, stop=stop, tick=tick)
    return result


def _replay(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    origin: Origin,
    wanted: dict[Spot, Failed],
    result: Redriven,
    *,
    stop: Flag,
    tick: Callable[[Tally], None],
) -> None:
    """All that Kafka holds, and what it does not, from the lake: each where it is asked for."""
    topics, gone = TopicNames(kafka.topic_prefix), set(wanted)
    result.left = len(wanted)
    with open_replay(replace(plan, control=None), topics, _WORKER_ID, stop.wait) as replay:
        for name in ("kafka", "lake"):
            if origin.source not in (name, "auto") or not gone or stop.is_set():
                continue
            try:
                source = _source(name, plan, kafka, origin, {spot: wanted[spot] for spot in gone})
            except (LakeError, MissingExtraError) as error:
                if origin.source != "auto":
                    raise
                log.warning("what Kafka no longer holds is not in the lake either: %s", error)
                break
            outbox = Outbox(kafka, f"{topics.prefix}{plan.target.group}.{_WORKER_ID}")
            tally = run_loop(plan, source, replay, outbox, stop, tick)
            gone = source.gone
            result.add(tally, source.taken, from_lake=name == "lake")
    result.gone = len(gone)
    result.left -= result.redriven + result.gone


def _source(
    name: str, plan: WorkerPlan, kafka: KafkaSettings, origin: Origin, wanted: dict[Spot, Failed]
) -> SpotSource | ArchiveSource:
    topic = TopicNames(kafka.topic_prefix).requests
    if name == "kafka":
        return SpotSource(kafka, topic, wanted)
    from shadowlane.replay_worker.redrive._archive_source import ArchiveSource  # noqa: PLC0415 - the lake's extra

    return ArchiveSource(origin.lake, topic, plan.target.model, wanted)


def _check(plan: WorkerPlan) -> None:
    run = plan.target.run
    if run == CONTROL or run.endswith(f"-{CONTROL}"):
        raise SettingsError(
            f"run {run!r} holds second answers, which are set beside first ones: redrive the run itself"
        )
