"""Care for a lake that others write to and read: its files joined, its leftovers gone, its state told."""

from shadowlane.lake.care._compact import TARGET_BYTES, Compacted, CompactionPlan, compact
from shadowlane.lake.care._deep import Deep, Duplicates, Gaps, LandedGaps, Letters, SourceGaps, look_deep
from shadowlane.lake.care._expire import EXPIRING, Day, ExpiryPlan, expire, expiring
from shadowlane.lake.care._positions import Log, Position
from shadowlane.lake.care._status import Growth, Holding, ModelStatus, TableStatus, status
from shadowlane.lake.care._vacuum import KEEP, Vacuumed, VacuumPlan, vacuum

__all__ = [
    "EXPIRING",
    "KEEP",
    "TARGET_BYTES",
    "Compacted",
    "CompactionPlan",
    "Day",
    "Deep",
    "Duplicates",
    "ExpiryPlan",
    "Gaps",
    "Growth",
    "Holding",
    "LandedGaps",
    "Letters",
    "Log",
    "ModelStatus",
    "Position",
    "SourceGaps",
    "TableStatus",
    "VacuumPlan",
    "Vacuumed",
    "compact",
    "expire",
    "expiring",
    "look_deep",
    "status",
    "vacuum",
]
