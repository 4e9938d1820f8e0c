"""The columnar codec of the events, for those who handle batches (needs `[worker]` or `[aggregator]`)."""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.schemas._columns import ColumnCodec, Decoded, Reject, arrow_schema
except ImportError as error:  # pragma: no cover - the base install is tested in an environment of its own
    raise MissingExtraError("worker", "The columnar codec") from error

__all__ = ["ColumnCodec", "Decoded", "Reject", "arrow_schema"]
