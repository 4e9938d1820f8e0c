"""Care for a lake that others write to and read: its files joined, its leftovers gone, its state told."""

from shadowlane.lake.care._compact import TARGET_BYTES, Compacted, CompactionPlan, compact

__all__ = ["TARGET_BYTES", "Compacted", "CompactionPlan", "compact"]
