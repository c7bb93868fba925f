"""How far a figure, and a difference, can be trusted.

intervals      how far one figure can be trusted
comparison     two recipes paired by seed: difference, verdict, noise floor, smallest detectable effect, seeds needed
significance   paired items (McNemar), several comparisons at once (Holm), robust means (IQM)
probabilities  predicted ones against what came: AUROC, calibration error, Platt's scaling
"""

from think.core.statistics.comparison import Comparison, compare, noise_floor, seeds_needed, smallest_detectable
from think.core.statistics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    block_bootstrap_mean,
    block_bootstrap_median,
    block_bootstrap_slope,
    block_length,
    bootstrap_interval,
    mean,
    median,
    paired_bootstrap,
    ratio_interval,
    student,
    wilson,
)
from think.core.statistics.probabilities import BINS, Platt, auroc, calibration_error, platt
from think.core.statistics.significance import holm, interquartile_mean, mcnemar

__all__ = [
    "BINS",
    "LEVEL",
    "RESAMPLES",
    "Comparison",
    "Interval",
    "Platt",
    "auroc",
    "block_bootstrap_mean",
    "block_bootstrap_median",
    "block_bootstrap_slope",
    "block_length",
    "bootstrap_interval",
    "calibration_error",
    "compare",
    "holm",
    "interquartile_mean",
    "mcnemar",
    "mean",
    "median",
    "noise_floor",
    "paired_bootstrap",
    "platt",
    "ratio_interval",
    "seeds_needed",
    "smallest_detectable",
    "student",
    "wilson",
]
