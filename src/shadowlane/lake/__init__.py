"""The lake: Delta tables of Parquet, written exactly once and read at one version by any engine.

Where it lies is in `_location.py`; what its tables hold in `_tables.py`; how rows get in, in `_table.py`;
how they are read, in `_reader.py`.
"""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.lake._held import HeldFile, HeldTable, NoTableError
    from shadowlane.lake._labels import LABEL_KEY, LATEST_FIRST, LATEST_LAST, WITHDRAWN
    from shadowlane.lake._listing import Everything, Extent, MovedOnError, VersionGoneError
    from shadowlane.lake._location import Lake, Location
    from shadowlane.lake._reader import OpenLake, Versions, open_lake, read_lake
    from shadowlane.lake._table import LakeTable, TakenOverError, count_rows
    from shadowlane.lake._tables import (
        COMPARISONS,
        DEAD_LETTERS,
        DECISIONS,
        ERRORS,
        EVENT_TABLES,
        LABELS,
        LEDGER,
        PREDICTIONS,
        REQUESTS,
        TABLES,
        EventTable,
        TableSpec,
    )
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in ("deltalake", "duckdb", "pyarrow", "pyruhvro", "numpy"):
        raise MissingExtraError("aggregator", "The lake") from error
    raise

__all__ = [
    "COMPARISONS",
    "DEAD_LETTERS",
    "DECISIONS",
    "ERRORS",
    "EVENT_TABLES",
    "LABELS",
    "LABEL_KEY",
    "LATEST_FIRST",
    "LATEST_LAST",
    "LEDGER",
    "PREDICTIONS",
    "REQUESTS",
    "TABLES",
    "WITHDRAWN",
    "EventTable",
    "Everything",
    "Extent",
    "HeldFile",
    "HeldTable",
    "Lake",
    "LakeTable",
    "Location",
    "MovedOnError",
    "NoTableError",
    "OpenLake",
    "TableSpec",
    "TakenOverError",
    "VersionGoneError",
    "Versions",
    "count_rows",
    "open_lake",
    "read_lake",
]
