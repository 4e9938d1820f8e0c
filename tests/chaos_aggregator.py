"""An aggregator or a compaction as the commands run them, which kills itself (SIGKILL) at a named step.

Each line on its standard input, `["aggregate", "after the commit", 2]`, is one run in a process of its own,
forked so that a kill costs no start of Python: it dies the second time that it comes to the step. The run's
exit code is the answer, a line on standard output. No step, `["compact", "", 0]`, is a run that nobody
disturbs. Told to `"run"` it is one aggregator itself, for signals from outside; one that is given a step to
fall asleep at stops there (SIGSTOP) until it is told to go on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

from confluent_kafka import Consumer, Message
from deltalake import DeltaTable
from deltalake.table import TableAlterer

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.errors import ShadowlaneError
from shadowlane.kafka import KafkaSettings, _clients
from shadowlane.lake import LakeTable, _table
from shadowlane.lake._store import FolderStore
from shadowlane.lake.care import CompactionPlan, compact
from shadowlane.process import leave_with_parent, stopped_by_signals
from shadowlane.schemas.columns import ColumnCodec


class Death:
    """Comes the so manieth time that it is called; or sleep, by another signal."""

    def __init__(self, count: int, how: signal.Signals = signal.SIGKILL) -> None:
        self._left = count
        self._how = how

    @property
    def is_next(self) -> bool:
        """Whether the next call is it."""
        return self._left == 1

    def __call__(self) -> None:
        """Once nearer."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), self._how)


def before(owner: Any, name: str, die: Callable[..., None]) -> None:
    """Have a function call `die` with its own arguments first."""
    really = getattr(owner, name)

    def patched(*given: Any, **named: Any) -> Any:
        die(*given)
        return really(*given, **named)

    setattr(owner, name, patched)


def after(owner: Any, name: str, die: Callable[..., None]) -> None:
    """Have a function call `die` with its own arguments once it has done its work."""
    really = getattr(owner, name)

    def patched(*given: Any, **named: Any) -> Any:
        done = really(*given, **named)
        die(*given)
        return done

    setattr(owner, name, patched)


def half_a_file(die: Death) -> None:
    """At a file's fsync: half of its bytes are on the disk, the rest is lost."""

    def halve(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".draft":
            if die.is_next:
                os.ftruncate(descriptor, found.st_size // 2)
            die()

    before(os, "fsync", halve)


def at_a_checkpoint(die: Death) -> None:
    """At the first sight of a checkpoint, or of the draft of one, from a thread beside Delta's."""
    really = DeltaTable.create_write_transaction

    def commit(table: DeltaTable, *given: Any, **named: Any) -> None:
        log, over = Path(table.table_uri.removeprefix("file://"), "_delta_log"), Event()

        def checkpoints() -> set[str]:
            return {file.name for file in log.iterdir() if "checkpoint" in file.name}

        known = checkpoints()

        def watch() -> None:
            while not over.is_set():
                if checkpoints() != known:
                    die()
                    return

        watcher = Thread(target=watch)
        watcher.start()
        really(table, *given, **named)
        over.set()
        watcher.join()

    setattr(DeltaTable, really.__name__, commit)


def while_creating(die: Death) -> None:
    """The folder of the log is there, and nothing in it."""

    def begin(uri: str, *_: Any) -> None:
        Path(uri, "_delta_log").mkdir(parents=True, exist_ok=True)
        die()

    before(DeltaTable, "create", begin)


def after_dead_letters(die: Death) -> None:
    """They are committed, the rows that were read with them are not."""
    after(LakeTable, "append", lambda table, *_: die() if table.name == "dead_letters" else None)


def _plain(how: Callable[..., None], owner: Any, name: str) -> Callable[[Death], None]:
    return lambda die: how(owner, name, lambda *_: die())


class SmallBites(Consumer):
    """Takes a few messages at a time, so that a little traffic makes many commits."""

    bite = 25
    die: Callable[[], None] = staticmethod(lambda: None)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """At most a bite."""
        return super().consume(min(num_messages, self.bite), timeout)

    def commit(self, *given: Any, **named: Any) -> Any:
        """Tell the group its offsets, if nobody dies."""
        type(self).die()
        return super().commit(*given, **named)


def before_the_offsets(die: Death) -> None:
    """The lake has the rows, the group does not know it."""
    SmallBites.die = staticmethod(die)


STEPS: dict[str, Callable[[Death], None]] = {
    "while creating a table": while_creating,
    "after creating a table": _plain(after, DeltaTable, "create"),
    "after decoding": _plain(after, ColumnCodec, "decode"),
    "before widening": _plain(before, TableAlterer, "add_columns"),
    "after widening": _plain(after, TableAlterer, "add_columns"),
    "before a file": _plain(before, FolderStore, "put"),
    "halfway through a file": half_a_file,
    "before a file has its name": _plain(before, Path, "replace"),
    "after a file": _plain(after, FolderStore, "put"),
    "before the commit": _plain(before, DeltaTable, "create_write_transaction"),
    "after the commit": _plain(after, DeltaTable, "create_write_transaction"),
    "after the dead letters": after_dead_letters,
    "before the offsets": before_the_offsets,
    "at a checkpoint": at_a_checkpoint,
    "before tidying the log": _plain(before, DeltaTable, "create_checkpoint"),
    "after tidying the log": _plain(after, DeltaTable, "create_checkpoint"),
}


def aggregate(given: dict[str, Any]) -> int:
    """Run one aggregator until it ends, is told to, or kills itself."""
    kafka = KafkaSettings(given["servers"], topic_prefix=given["prefix"], client=given["client"])
    with stopped_by_signals() as stop:
        leave_with_parent(os.getppid())
        try:
            landings = run_aggregator(AggregatorPlan(given["lake"], **given["plan"]), kafka, stop=stop)
        except ShadowlaneError as error:
            logging.getLogger().error("%s", error)  # noqa: TRY400 - as the command does
            return 1
    logging.getLogger().info("landed %s", landings.rows)
    return 0


def join_files(given: dict[str, Any]) -> int:
    """Compact the whole lake once."""
    done = compact(CompactionPlan(given["lake"]))
    logging.getLogger().info("joined %s", {each.table: each.joined for each in done})
    return 0


WORK = {"aggregate": aggregate, "compact": join_files}


def fork(given: dict[str, Any], work: str, step: str, count: int) -> int:
    """One run in a process of its own; its exit code, negative where a signal ended it."""
    child = os.fork()
    if not child:
        if step:
            STEPS[step](Death(count))
        code = 1
        try:
            code = WORK[work](given)
        except BaseException:
            logging.getLogger().exception("an error that is none of ours")
            code = 2
        finally:
            logging.shutdown()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(given: dict[str, Any]) -> int:
    """One run, or one for each line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    vars(_clients)["Consumer"] = SmallBites
    _table._PROPERTIES["delta.checkpointInterval"] = given["checkpoint_interval"]
    if given["asleep_at"]:
        STEPS[given["asleep_at"]](Death(2, signal.SIGSTOP))
    if given["run"]:
        return aggregate(given)
    for line in sys.stdin:
        sys.stdout.write(f"{fork(given, *json.loads(line))}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
