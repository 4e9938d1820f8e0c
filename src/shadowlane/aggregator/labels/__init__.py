"""Ground truth: labels from files into the lake, exactly once, and what the lake knows of its labels.

Labels also come by the topic `production-labels`, which the aggregator lands. Which of several counts is
in `shadowlane.lake` (`LATEST_FIRST`).
"""

from shadowlane.aggregator.labels._import import Imported, ImportPlan, fault_text, import_labels
from shadowlane.aggregator.labels._mapping import LabelMapping
from shadowlane.aggregator.labels._records import Fault
from shadowlane.aggregator.labels._status import (
    LabelledDay,
    LabelsStatus,
    Lateness,
    NamedLabels,
    labels_status,
)

__all__ = [
    "Fault",
    "ImportPlan",
    "Imported",
    "LabelMapping",
    "LabelledDay",
    "LabelsStatus",
    "Lateness",
    "NamedLabels",
    "fault_text",
    "import_labels",
    "labels_status",
]
