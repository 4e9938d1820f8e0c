"""The hook: publishes a service's requests and its primary's predictions, and never hurts the service.

Use: `hook = Hook(model="ranker", model_version="7", bootstrap_servers="…", sampling=0.25)`, then
`hook.publish(features={…}, prediction=0.87, latency_ms=12.3, entity_id="user-1")`.
"""

from shadowlane.producer._calls import Call
from shadowlane.producer._control import read_sampling, set_sampling
from shadowlane.producer._hook import Hook
from shadowlane.producer._plan import Limits
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._router import ModelRouter, SyncModelRouter
from shadowlane.producer._router_stats import RouterStats
from shadowlane.producer._sampling import Rates, Sampling, is_sampled
from shadowlane.producer._stats import Results, Stats
from shadowlane.schemas import position

__all__ = [
    "Call",
    "Hook",
    "Limits",
    "ModelRouter",
    "Rates",
    "Redaction",
    "Results",
    "RouterStats",
    "Sampling",
    "Stats",
    "SyncModelRouter",
    "is_sampled",
    "position",
    "read_sampling",
    "set_sampling",
]
