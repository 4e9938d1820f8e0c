"""The table's log kept short: a checkpoint of how it stands, and what is older than needed, gone."""

from __future__ import annotations

from shadowlane.lake.care._opened import KeptTable


def tidy(table: KeptTable) -> None:
    """Write a checkpoint of the latest version, and let go of the log's entries that have expired.

    The positions of all partitions are in the checkpoint, however long ago they were committed.
    """
    table.refresh()
    table.check_log()  # behind a checkpoint nobody would notice any more
    with table.errors("write a checkpoint of"):
        version = table.delta.version()
        checkpoint = f"_delta_log/{version:020d}.checkpoint.parquet"
        if table.store.size(checkpoint) is not None:
            return
        table.delta.create_checkpoint()
        # Before the entries go that it stands for.
        for path in (checkpoint, "_delta_log/_last_checkpoint"):
            table.store.sync(path)
        table.delta.cleanup_metadata()
