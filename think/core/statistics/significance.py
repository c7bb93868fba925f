"""Tests on counted items, several tests at once, and a mean that outliers move little."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from think.core.statistics.intervals import Values, checked


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of two arms that answered the same items, from the items where they differ.

    only_first, only_second: items that one arm alone answered correctly. Without any such item p is 1.
    [McNemar 1947; exact binomial form]
    """
    from scipy.stats import binomtest

    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts of items are not negative: {only_first} and {only_second}")
    differing = only_first + only_second
    return 1.0 if differing == 0 else float(binomtest(only_first, differing, 0.5).pvalue)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p values corrected for their number, in the order given: below 0.05 all together err in at most 5 % of studies.

    The k-th smallest of m is multiplied by m - k + 1, never falls below a smaller one's, and is at most 1.
    [Holm 1979]
    """
    if not all(0 <= value <= 1 for value in p):
        raise ValueError(f"p values lie between 0 and 1: {list(p)}")
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return tuple(corrected)


def interquartile_mean(samples: ArrayLike) -> Values:
    """Mean of the middle half, over the last axis: a quarter of the entries, rounded down, is left out at either end.

    A statistic for `bootstrap_interval`.    [Agarwal et al. 2021]
    """
    entries = np.sort(np.asarray(samples, dtype=np.float64), axis=-1)
    checked(entries.reshape(-1))
    cut = entries.shape[-1] // 4
    return np.asarray(entries[..., cut : entries.shape[-1] - cut].mean(axis=-1))
