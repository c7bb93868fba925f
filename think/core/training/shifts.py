"""Phase shifts: a figure that leaves its level at once and stays away, in what a run records anyway.

Of the logarithms of the last 3 W records, three windows A, B, C of W records follow each other. With
a = |med B - med A| and c = |med C - med B|, the level has shifted when

    c - a > max(log factor, noise * s),     s = 1.4826 * median |x - med x| over A and B

Medians: a spike of fewer than W / 2 records is no shift. Minus a: a slope moves both pairs of windows alike, so a
figure that drifts with the warm-up or the fall of the learning rate is no shift. s: a restless figure has to move
further.

Measured with W = 24, factor 2 and noise 4 on stationary autoregressive series of 200,000 records (a figure's logarithm
with deviation d, correlation r from one record to the next), false alarms per 1,000 records: none at r = 0.5, d = 0.2
to 0.5 and at r = 0.9, d = 0.2; 0.3 at r = 0.9, d = 0.4; 0.2 at r = 0.97, d = 0.3. A step by a factor of 3 at r = 0.5,
d = 0.2 is found in W records.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

LARGEST = 700.0
"Logarithms beyond it have no float; a bound there is one that nothing crosses."
_NORMAL = 1.4826
"Median absolute deviation of a normal variable, inverted."


@dataclass(frozen=True)
class Bounds:
    """window: W; of 16, restless figures alarm three times as often, and of more, state health is judged too late.
    factor: smallest change of level that is one.   noise: deviations of the figure that it must exceed besides."""

    window: int
    factor: float
    noise: float


@dataclass(frozen=True)
class Shift:
    """A new level over the old one, and the bound that it crossed: above it when the level rose, else below."""

    ratio: float
    limit: float

    @property
    def happened(self) -> bool:
        return self.ratio > self.limit if self.limit > 1 else self.ratio < self.limit


def remember(series: list[float], value: float, window: int) -> list[float]:
    """The last 3 W logarithms with one more; what is not above zero or not finite has none and is passed over."""
    if not (math.isfinite(value) and value > 0):
        return series
    return [*series, math.log(value)][-3 * window :]


def shift(series: list[float], bounds: Bounds) -> Shift | None:
    """The newest window against the one before; None until there are three."""
    window = bounds.window
    if len(series) < 3 * window:
        return None
    before, middle, newest = (median(series[at : at + window]) for at in (0, window, 2 * window))
    old = series[: 2 * window]
    level = median(old)
    noise = _NORMAL * median(abs(value - level) for value in old)
    needed = min(max(math.log(bounds.factor), bounds.noise * noise) + abs(middle - before), LARGEST)
    change = max(-LARGEST, min(newest - middle, LARGEST))
    return Shift(math.exp(change), math.exp(math.copysign(needed, change)))


class Levels:
    """Figures by name, each with what is remembered of it."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._series: dict[str, list[float]] = {}
        self._length: int | None = None

    def look(self, length: int, figures: Mapping[str, float]) -> dict[str, Shift]:
        """Take one record of each figure; gives how those with enough records stand.

        length: tokens per row. Another one is a planned change of all figures: every window begins anew.
        """
        if length != self._length:
            self._series, self._length = {}, length
        found = {}
        for name, value in figures.items():
            series = self._series[name] = remember(self._series.setdefault(name, []), value, self._bounds.window)
            stands = shift(series, self._bounds)
            if stands is not None:
                found[name] = stands
        return found

    def as_json(self) -> dict[str, object]:
        return {"length": self._length, "series": self._series}

    def load(self, held: Mapping[str, object]) -> None:
        """Take back what `as_json` gave."""
        length, series = held["length"], held["series"]
        assert isinstance(series, Mapping)
        self._length = length if isinstance(length, int) else None
        self._series = {
            str(name): [float(value) for value in values][-3 * self._bounds.window :] for name, values in series.items()
        }
