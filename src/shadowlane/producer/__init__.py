"""The hook: publishes a service's requests and its primary's predictions, and never hurts the service.

Use: `hook = Hook(model="ranker", model_version="7", bootstrap_servers="…", sampling=0.25)`, then
`hook.publish(features={…}, prediction=0.87, latency_ms=12.3, entity_id="user-1")`.
"""

from shadowlane.producer._calls import Call
from shadowlane.producer._courier import Limits
from shadowlane.producer._hook import Hook
from shadowlane.producer._sampling import Rates, Sampling, is_sampled, position
from shadowlane.producer._stats import Stats

__all__ = ["Call", "Hook", "Limits", "Rates", "Sampling", "Stats", "is_sampled", "position"]
