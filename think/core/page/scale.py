"""Axes: from figures to places in a drawing, and the round numbers that are written beside them. No numpy."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST, _LEAST = 1e200, 1e-100
"Figures beyond are drawn at these, so that no difference or product of two is infinite."


@dataclass(frozen=True)
class Scale:
    """Places of the figures from `low` to `high`, which lie at `start` and `end`. logarithmic: low is above zero."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The place of a finite figure; one outside the range lies at its nearer end."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round figures inside the range, ascending."""
        if self.logarithmic and self.high / self.low >= 10:
            return _logarithmic(self.low, self.high, most)
        return _linear(self.low, self.high, most)


def over(
    values: Iterable[float], start: float, end: float, *, logarithmic: bool = False, from_zero: bool = False
) -> Scale:
    """A scale that holds all finite figures (above zero, if logarithmic) with a little room around them."""
    usable = [min(max(value, -_MOST), _MOST) for value in values if math.isfinite(value)]
    usable = [max(value, _LEAST) for value in usable if value > 0] if logarithmic else usable
    low, high = min(usable, default=0.1 if logarithmic else 0.0), max(usable, default=1.0)
    if logarithmic:
        low, high = (low, high) if high > low * 1.01 else (low / 2, high * 2)
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, start, end, True)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= max(1e-9 * max(abs(high), abs(low)), _LEAST):
        spare = abs(high) / 2 if abs(high) > _LEAST else 0.5
        low, high = low - spare, high + spare
    room = (high - low) * 0.04
    return Scale(low if from_zero and low == 0 else low - room, high + room, start, end)


def label(value: float) -> str:
    """A figure for an axis: short, with thousands set apart."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _linear(low: float, high: float, most: int) -> list[float]:
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(size * power for size in (*_ROUND, 20.0) if size * power >= least)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step) + 1)]


def _logarithmic(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for within in ((1.0, 2.0, 5.0), (1.0,)):
        found = [size * 10.0**power for power in powers for size in within if low <= size * 10.0**power <= high]
        if len(found) <= most + 3:
            return found
    return found[:: -(-len(found) // most)]
