"""Write the golden files of a schema that changed: its text, two messages, and what they must decode to.

    python tests/golden/generate.py              adds a version for each event whose schema changed
    python tests/golden/generate.py --replace    rewrites the newest version (only before it was released)

For version n of an event there are `<event>.<n>.avsc`, and twice a `.bin` (one framed message) and a `.json`
(its values): with everything filled in, and, named `.bare`, with only what the schema demands. A version that
was released is never written again: its files stand for the messages that lie in somebody's topic.
The version before the newest is also put into `src/shadowlane/schemas/history/`, whence the codecs know it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shadowlane.schemas import (
    Codec,
    ControlSetting,
    Event,
    Features,
    LedgerEntry,
    Prediction,
    ProductionLabel,
    ProductionRequest,
    SamplingRates,
    ShadowComparison,
    ShadowError,
    to_record,
)
from shadowlane.schemas._contracts import FILES

GOLDEN = Path(__file__).parent
SCHEMAS = GOLDEN.parents[1] / "src" / "shadowlane" / "schemas"

_TIME = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
_LATER = datetime(2026, 3, 29, 2, 0, 0, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_LARGEST = 2**63 - 1
_SMALLEST = -(2**63)
_FEATURES = Features(
    numbers={"amount": 12.5, "tiny": 5e-324, "huge": 1.7976931348623157e308, "zero": -0.0},
    integers={"age": 41, "largest": _LARGEST, "smallest": _SMALLEST},
    flags={"returning": True, "fraud": False},
    strings={"country": "DE", "empty": "", "grüße 東京 🌒": "ends in NUL \x00"},
    vectors={"embedding": [0.1, -2.5, 3.0], "none": []},
    json={"basket": '[{"sku": "a-1", "n": 2}]'},
    missing=["income", "postcode"],
)
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_PREDICTION = Prediction(score=0.875, label="benign", vector=[0.875, 0.125], ranking=["b", "a", ""])

#: For each event one with everything filled in and one with only what its schema demands.
SAMPLES: Mapping[type[Event], tuple[Event, Event]] = {
    ProductionRequest: (
        ProductionRequest(
            request_id="request-1",
            event_time=_TIME,
            model="ranker",
            model_version="7",
            entity_id="user-1",
            features=_FEATURES,
            prediction=_PREDICTION,
            latency_ms=12.25,
            segments={"country": "DE", "tier": "gold"},
            context={"traceparent": _TRACE},
            sampling_rate=0.25,
            producer_id="host-1",
            sequence=_LARGEST,
        ),
        ProductionRequest(request_id="", event_time=_FIRST, model="m", features=Features()),
    ),
    ShadowComparison: (
        ShadowComparison(
            request_id="request-1",
            event_time=_TIME,
            model="ranker",
            model_version="7",
            shadow="ranker-boosted",
            shadow_version="8-rc1",
            run="march",
            entity_id="user-1",
            source_topic="production-requests",
            source_partition=2**31 - 1,
            source_offset=_LARGEST,
            segments={"country": "DE"},
            primary_prediction=_PREDICTION,
            primary_source="replayed",
            shadow_prediction=Prediction(ranking=[]),
            agreement=True,
            difference=-0.0625,
            comparator="score:0.05",
            primary_latency_ms=12.25,
            shadow_latency_ms=8.5,
            latency_basis="amortized",
            shadow_cpu_ms=7.75,
            replay_lag_ms=1500.0,
            missing_features=["income"],
            features=_FEATURES,
            worker_id="worker-3",
            sampling_rate=0.25,
            shadow_gpu_ms=1.25,
            shadow_memory_mb=512.5,
            fetched=Features(numbers={"amount": 12.75}, strings={"country": "AT"}, missing=["age"]),
            traceparent=_TRACE,
        ),
        ShadowComparison(
            request_id="r",
            event_time=_LAST,
            model="m",
            shadow="s",
            source_topic="t",
            source_partition=0,
            source_offset=0,
            primary_prediction=Prediction(),
            shadow_prediction=Prediction(label=""),
            agreement=False,
            comparator="label",
            shadow_latency_ms=0.0,
            replay_lag_ms=-1.0,
        ),
    ),
    ShadowError: (
        ShadowError(
            request_id="request-1",
            event_time=_TIME,
            model="ranker",
            model_version="7",
            shadow="ranker-boosted",
            shadow_version="8-rc1",
            run="march",
            entity_id="user-1",
            source_topic="production-requests",
            source_partition=3,
            source_offset=129,
            stage="predict",
            error_type="KeyError",
            message="'income'",
            traceback="File \"model.py\", line 3, in predict\nKeyError: 'income'",
            attempts=3,
            failed_at=_LATER,
            segments={"country": "DE"},
            missing_features=["income"],
            raw="wwE=",
            worker_id="worker-3",
            sampling_rate=0.25,
            traceparent=_TRACE,
        ),
        ShadowError(
            model="m",
            shadow="s",
            source_topic="t",
            source_partition=0,
            source_offset=0,
            stage="decode",
            error_type="CorruptMessageError",
            failed_at=_LAST,
        ),
    ),
    ProductionLabel: (
        ProductionLabel(
            request_id="request-1",
            model="ranker",
            name="revenue",
            label=_PREDICTION,
            observed_at=_LATER,
            source="billing",
        ),
        ProductionLabel(request_id="r", model="m", label=Prediction(), observed_at=_FIRST),
    ),
    LedgerEntry: (
        LedgerEntry(
            producer_id="host-1",
            role="worker",
            model="ranker",
            model_version="7",
            shadow="ranker-boosted",
            run="live",
            started_at=_TIME,
            recorded_at=_LATER,
            observed=1_000_000,
            primary_failed=1,
            sampled_out=749_999,
            published=249_990,
            dropped={"queue_full": 9, "too_large": 1},
            delivered=249_989,
            failed=1,
            final=True,
            compared=999_990,
            errors={"predict": 9, "timeout": 1},
            lost=3,
            missing_features={"income": 12},
            unexpected_features={"grüße 東京 🌒": 1},
            restarts=2,
        ),
        LedgerEntry(producer_id="p", model="m", started_at=_FIRST, recorded_at=_LAST),
    ),
    ControlSetting: (
        ControlSetting(
            model="ranker",
            sampling=SamplingRates(rate=0.05, segments={"country=BR": 1.0, "tier=": 5e-324}),
            set_at=_TIME,
            set_by="dana@laptop",
            reason="few requests from Brazil",
        ),
        ControlSetting(model="m", set_at=_LAST),
    ),
}


def undocumented(schema: Any) -> Any:
    """A schema without its docs: they may change without a new version."""
    if isinstance(schema, list):
        return [undocumented(each) for each in schema]
    if isinstance(schema, dict):
        return {key: undocumented(value) for key, value in schema.items() if key != "doc"}
    return schema


def load(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def versions(stem: str) -> list[int]:
    """The versions of an event that there are golden files for, in order."""
    return sorted(int(path.name.split(".")[1]) for path in GOLDEN.glob(f"{stem}.*.avsc"))


def to_json(value: Any) -> Any:
    """A record as the golden JSON holds it: times as text."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    return value


def write(event: type[Event], version: int) -> Iterator[Path]:
    """Write one version's files; the paths written."""
    stem = FILES[event]
    yield (target := GOLDEN / f"{stem}.{version}.avsc")
    shutil.copyfile(SCHEMAS / f"{stem}.avsc", target)
    codec = Codec(event)
    for name, sample in zip((f"{stem}.{version}", f"{stem}.{version}.bare"), SAMPLES[event], strict=True):
        yield (target := GOLDEN / f"{name}.bin")
        target.write_bytes(codec.encode(sample))
        yield (target := GOLDEN / f"{name}.json")
        text = json.dumps(to_json(to_record(sample)), ensure_ascii=False, allow_nan=False, indent=2)
        target.write_text(text + "\n", encoding="utf-8")


def keep(stem: str, version: int) -> Iterator[Path]:
    """Let the codecs go on reading a version that is no longer the newest."""
    yield (target := SCHEMAS / "history" / f"{stem}.{version}.avsc")
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(GOLDEN / f"{stem}.{version}.avsc", target)


def update(event: type[Event], *, replace: bool) -> Iterator[Path]:
    """Bring one event's golden files up to date; the paths written."""
    stem = FILES[event]
    newest = max(versions(stem), default=0)
    if newest and replace:
        yield from write(event, newest)
        return
    current = undocumented(load(SCHEMAS / f"{stem}.avsc"))
    if newest and current == undocumented(load(GOLDEN / f"{stem}.{newest}.avsc")):
        return
    if newest:
        yield from keep(stem, newest)
    yield from write(event, newest + 1)


if __name__ == "__main__":
    for each in FILES:
        for written in update(each, replace="--replace" in sys.argv[1:]):
            print(written.name)  # noqa: T201 (a script says what it did)
