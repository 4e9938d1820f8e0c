"""The events: their Avro contracts (`*.avsc`), typed classes, framing and the one-at-a-time codec.

The columnar codec is `shadowlane.schemas.columns`; it needs pyarrow and pyruhvro (`[worker]`).
"""

from shadowlane.schemas._codec import Codec, SchemaLookup, from_record, to_record
from shadowlane.schemas._contracts import Contract, contract
from shadowlane.schemas._events import (
    ControlSetting,
    Event,
    EventT,
    LedgerEntry,
    ProductionLabel,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)
from shadowlane.schemas._failure import Failure
from shadowlane.schemas._framing import Frame, read_frame, registered_header, single_object_header
from shadowlane.schemas._names import check_name
from shadowlane.schemas._plain import NoFormError, not_unicode
from shadowlane.schemas._plain import read as plain_value
from shadowlane.schemas._position import position
from shadowlane.schemas._values import Features, Prediction, SamplingRates, as_mapping, label_text

__all__ = [
    "Codec",
    "Contract",
    "ControlSetting",
    "Event",
    "EventT",
    "Failure",
    "Features",
    "Frame",
    "LedgerEntry",
    "NoFormError",
    "Prediction",
    "ProductionLabel",
    "ProductionRequest",
    "SamplingRates",
    "SchemaLookup",
    "ShadowComparison",
    "ShadowError",
    "as_mapping",
    "check_name",
    "contract",
    "from_record",
    "label_text",
    "not_unicode",
    "plain_value",
    "position",
    "read_frame",
    "registered_header",
    "single_object_header",
    "to_record",
]
