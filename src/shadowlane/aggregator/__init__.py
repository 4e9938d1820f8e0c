"""The aggregator: land comparisons in the lake exactly once, and read figures, reports and verdicts from it.

Landing is in `_aggregate.py`, top to bottom; reading in `_load.py`, `_report.py` and `_gate.py`.
"""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.aggregator._aggregate import AggregatorPlan, Landings, run_aggregator
    from shadowlane.aggregator._lake import count_rows
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in (
        "deltalake",
        "duckdb",
        "jinja2",
        "numpy",
        "pyarrow",
        "pyruhvro",
    ):
        raise MissingExtraError("aggregator", "The aggregator") from error
    raise

__all__ = ["AggregatorPlan", "Landings", "count_rows", "run_aggregator"]
