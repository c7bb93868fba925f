"""Two recipes, run with the same seeds on the same data in the same order: which one is better, and can it be told?

Pairs are few (a seed is a training run), so the interval is Student's, not the bootstrap's: resampling three pairs
never leaves their range, and such an "interval" covers the true difference in three of four cases where it claims 95 %.

n pairs  d their differences, first - second  s standard deviation of d
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import ArrayLike

from think.core.statistics.intervals import LEVEL, Interval, checked, student

POWER = 0.8
"Share of studies that find an effect of the size named."

MOST_PAIRS = 10_000
"Beyond this many pairs nobody will run them."

Verdict = Literal["lower", "higher", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`first - second` over the keys that both have.

    verdict               "lower" or "higher" only where the interval excludes zero
    p                     two-sided, paired t; correct it with `holm` where a study makes several comparisons
    smallest_detectable   difference that as many pairs would find in 80 % of studies; inf below two pairs
    more_pairs            pairs to add until a difference of the size seen would be found; 0 when told; None: no number
                          up to 10,000 is enough, or nothing is known about the spread
    unpaired              keys that only one of the two has
    """

    difference: Interval
    verdict: Verdict
    p: float
    smallest_detectable: float
    more_pairs: int | None
    unpaired: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "difference": self.difference.as_json(),
            "verdict": self.verdict,
            "p": self.p,
            "smallest_detectable": self.smallest_detectable,
            "more_pairs": self.more_pairs,
            "unpaired": list(self.unpaired),
        }


def compare(first: Mapping[Hashable, float], second: Mapping[Hashable, float], *, level: float = LEVEL) -> Comparison:
    """Compare two recipes by key, usually the seed.

    Raises ValueError when no key is in both, or a value is not finite.
    """
    from scipy.stats import ttest_1samp

    keys = [key for key in first if key in second]
    if not keys:
        raise ValueError(f"nothing to pair: {list(first)} and {list(second)}")
    differences = checked([first[key] - second[key] for key in keys])
    interval = student(differences, level=level)
    told = interval.excludes_zero
    spread = float(differences.std(ddof=1)) if len(keys) > 1 else math.nan
    if len(keys) < 2:
        p = 1.0
    elif spread == 0:
        p = 0.0 if differences[0] != 0 else 1.0
    else:
        p = float(ttest_1samp(differences, 0.0).pvalue)
    verdict: Verdict = "cannot tell"
    if told:
        verdict = "lower" if interval.high < 0 else "higher"
    needed = seeds_needed(interval.value, spread, level=level)
    return Comparison(
        difference=interval,
        verdict=verdict,
        p=p,
        smallest_detectable=smallest_detectable(spread, len(keys), level=level),
        more_pairs=0 if told else None if needed is None else max(1, needed - len(keys)),
        unpaired=tuple(sorted(str(key) for key in set(first) ^ set(second))),
    )


def noise_floor(values: ArrayLike, *, level: float = LEVEL) -> float:
    """How far two runs of one recipe that differ in nothing but their seed lie apart, in `level` of all cases (A/A).

    t s sqrt(2), from two or more runs of the recipe; a difference between single runs below it says nothing. Infinite
    for a single run.
    """
    from scipy.stats import t

    entries = checked(values)
    if entries.size < 2:
        return math.inf
    return float(t.ppf(0.5 + level / 2, entries.size - 1) * entries.std(ddof=1) * math.sqrt(2))


def smallest_detectable(spread: float, pairs: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """Difference that a paired t test of `pairs` finds in a share `power` of studies, where s is `spread`.

    Infinite below two pairs or without a known spread.    [Cohen 1988, by the noncentral t distribution]
    """
    from scipy.optimize import brentq

    if pairs < 2 or not math.isfinite(spread):
        return math.inf
    if spread == 0:
        return 0.0
    largest = 1.0
    while _power(largest, pairs, level) < power:
        largest *= 2
    return float(spread * brentq(lambda effect: _power(effect, pairs, level) - power, 0.0, largest))


def seeds_needed(difference: float, spread: float, *, level: float = LEVEL, power: float = POWER) -> int | None:
    """Pairs with which `difference` would be found in a share `power` of studies; at least 2.

    None when even 10,000 are not enough, or the spread is not known.
    """
    if not math.isfinite(spread) or not math.isfinite(difference):
        return None
    if spread == 0:
        return 2 if difference != 0 else None
    effect = abs(difference) / spread
    if effect == 0 or _power(effect, MOST_PAIRS, level) < power:
        return None
    few, many = 1, MOST_PAIRS  # few is not enough, many is
    while many - few > 1:
        middle = (few + many) // 2
        if _power(effect, middle, level) < power:
            few = middle
        else:
            many = middle
    return many


def _power(effect: float, pairs: int, level: float) -> float:
    """Chance that the two-sided paired t test at `level` finds an effect of `effect` standard deviations."""
    from scipy.stats import nct, t

    if pairs < 2:
        return 0.0
    critical = float(t.ppf(0.5 + level / 2, pairs - 1))
    shift = effect * math.sqrt(pairs)
    if shift > 30:  # scipy's series does not converge there; the t of so clear an effect only scatters around the shift
        return float(t.sf(critical - shift, pairs - 1))
    found = float(nct.sf(critical, pairs - 1, shift))
    # Being told the wrong way round: beyond this shift it is below 1e-6 and scipy gives NaN for it.
    return found + (float(nct.cdf(-critical, pairs - 1, shift)) if shift < 4 else 0.0)
