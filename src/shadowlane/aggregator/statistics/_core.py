"""The old place of these three; import from the package."""

from shadowlane.aggregator.statistics import BINS, QUANTILE_METHOD, bin_edges, jensen_shannon, rate

__all__ = ["BINS", "QUANTILE_METHOD", "bin_edges", "jensen_shannon", "rate"]
