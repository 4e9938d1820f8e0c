"""The figures' formulas: pure functions of counts and arrays, each held to another library's in the tests."""

from shadowlane.aggregator.statistics._beta import beta_quantile, betainc
from shadowlane.aggregator.statistics._bins import BINS, QUANTILE_METHOD, bin_edges
from shadowlane.aggregator.statistics._calibration import brier, calibration
from shadowlane.aggregator.statistics._clusters import (
    clustered_n_needed,
    clustered_rate_interval,
    clustered_sequence,
    design_effect,
)
from shadowlane.aggregator.statistics._distances import (
    jensen_shannon,
    jensen_shannon_bias_bits,
    jensen_shannon_bits,
    kolmogorov_smirnov,
    psi,
    wasserstein,
)
from shadowlane.aggregator.statistics._means import mean_interval
from shadowlane.aggregator.statistics._multiplicity import benjamini_hochberg, holm
from shadowlane.aggregator.statistics._normal import deviations, normal_quantile
from shadowlane.aggregator.statistics._order import quantile_ranks, quantile_sequence_ranks
from shadowlane.aggregator.statistics._rates import (
    clopper_pearson,
    newcombe_difference,
    paired_difference,
    rate,
    wilson,
)
from shadowlane.aggregator.statistics._sequences import (
    beta_binomial_sequence,
    bounded_mean_sequence,
    log_evidence,
    samples_to_settle,
    sequence_n_needed,
)
from shadowlane.aggregator.statistics._significance import binomial_p, mcnemar_p, two_proportion_p
from shadowlane.aggregator.statistics._sizes import samples_for_difference, samples_for_rate
from shadowlane.aggregator.statistics._swaps import permutation_p, swap_null

__all__ = [
    "BINS",
    "QUANTILE_METHOD",
    "benjamini_hochberg",
    "beta_binomial_sequence",
    "beta_quantile",
    "betainc",
    "bin_edges",
    "binomial_p",
    "bounded_mean_sequence",
    "brier",
    "calibration",
    "clopper_pearson",
    "clustered_n_needed",
    "clustered_rate_interval",
    "clustered_sequence",
    "design_effect",
    "deviations",
    "holm",
    "jensen_shannon",
    "jensen_shannon_bias_bits",
    "jensen_shannon_bits",
    "kolmogorov_smirnov",
    "log_evidence",
    "mcnemar_p",
    "mean_interval",
    "newcombe_difference",
    "normal_quantile",
    "paired_difference",
    "permutation_p",
    "psi",
    "quantile_ranks",
    "quantile_sequence_ranks",
    "rate",
    "samples_for_difference",
    "samples_for_rate",
    "samples_to_settle",
    "sequence_n_needed",
    "swap_null",
    "two_proportion_p",
    "wasserstein",
    "wilson",
]
