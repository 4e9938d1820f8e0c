"""Planning: how many samples and days a decision takes, what they cost, and which sampling fits a budget.

From values to a plan it is pure functions, top to bottom in `_plan.py`; the lake is read in `_lake.py` alone.
"""

from shadowlane.aggregator.planning._figures import Plan
from shadowlane.aggregator.planning._inputs import Inputs, Metric, Segment
from shadowlane.aggregator.planning._json import plan_to_json
from shadowlane.aggregator.planning._lake import MIN_SHARE, Measured, read_traffic
from shadowlane.aggregator.planning._plan import make_plan
from shadowlane.aggregator.planning._samples import cluster_effect
from shadowlane.aggregator.planning._says import summary

__all__ = [
    "MIN_SHARE",
    "Inputs",
    "Measured",
    "Metric",
    "Plan",
    "Segment",
    "cluster_effect",
    "make_plan",
    "plan_to_json",
    "read_traffic",
    "summary",
]
