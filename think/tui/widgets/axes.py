"""Scales: where a value stands between two ends, and which round values to write beside the axis."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from think.tui.widgets import figures

Array = NDArray[np.float64]

LARGEST = 1e120
"Values beyond are drawn at the edge: their differences and ratios would leave what a float can hold."

FLAT = 0.05
"Half of the range around a value that never changes, as a share of it."


@dataclass(frozen=True)
class Scale:
    """An interval of values, linear or logarithmic (base 10, positive values only)."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Array, *, logarithmic: bool = False) -> "Scale | None":
        """The range of the finite values, of the positive ones for a logarithmic scale; None where there are none."""
        usable = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
        if not len(usable):
            return None
        low, high = (min(max(float(end), -LARGEST), LARGEST) for end in (usable.min(), usable.max()))
        if logarithmic:
            low, high = max(low, 1 / LARGEST), max(high, 1 / LARGEST)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            around = FLAT * (abs(low) or 1.0)
            low, high = low - around, high + around
        return cls(low, high, logarithmic)

    def place(self, values: Array) -> Array:
        """0 at the low end, 1 at the high end; NaN for what has no place."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if not self.logarithmic:
                return (values - self.low) / (self.high - self.low)
            found = (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
            return np.where(values > 0, found, np.nan)

    def ticks(self, most: int) -> list[float]:
        """Round values inside the interval, at most so many, ascending."""
        if most < 1:
            return []
        if self.logarithmic and self.high / self.low >= 10:
            for factors in ((1, 2, 5), (1, 3), (1,)):
                found = _decades(self.low, self.high, factors, 1)
                if len(found) <= most:
                    return found
            every = math.ceil(math.log10(self.high / self.low) / most)
            return _decades(self.low, self.high, (1,), every)[:most]
        return _round_values(self.low, self.high, most)


def _decades(low: float, high: float, factors: tuple[int, ...], every: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [factor * 10.0**power for power in range(first, last + 1) if power % every == 0 for factor in factors]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _round_values(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    for factor in (1, 2, 5, 10, 20):
        size = factor * power
        first = math.ceil(low / size - 1e-9)
        count = math.floor(high / size + 1e-9) - first + 1
        if count <= most:
            return [(first + number) * size for number in range(count)]
    return []


def labels(ticks: list[float], *, logarithmic: bool = False) -> list[str]:
    """Tick values with as many places as tell them apart, all alike on a linear scale."""
    if not ticks:
        return []
    if logarithmic:
        return [f"{value:g}" if 1e-3 <= value < 1e4 else figures.number(value, 3) for value in ticks]
    largest = max(map(abs, ticks))
    gap = min((b - a for a, b in itertools.pairwise(ticks)), default=largest)
    if largest >= 1e5 or (0 < largest < 1e-3) or (gap > 0 and largest / gap > 1e6):
        return [figures.number(value, 3) if value else "0" for value in ticks]
    places = max(0, -math.floor(math.log10(gap) + 1e-9)) if gap > 0 else 0
    if len({f"{value:.{places}f}" for value in ticks}) < len(ticks):
        places += 1
    return [f"{value:,.{min(places, 6)}f}" for value in ticks]
