"""The columnar codec of the events, for those who handle batches (needs `[worker]` or `[aggregator]`)."""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.schemas._columns import ColumnCodec, Decoded, Reject, arrow_schema
except ModuleNotFoundError as error:
    if error.name and error.name.split(".")[0] in ("pyarrow", "pyruhvro"):
        raise MissingExtraError("worker", "The columnar codec") from error
    raise

__all__ = ["ColumnCodec", "Decoded", "Reject", "arrow_schema"]
