"""Series of figures out of telemetry, for plots, comparisons and exports. numpy only."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from think.core.telemetry.records import Record

_STEPS = 2**62
"A greater step is damage, and no integer of an array."


@dataclass(frozen=True)
class Series:
    """Figures by step, in order of step; NaN and infinities are kept."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def not_finite(self) -> int:
        return int((~np.isfinite(self.values)).sum())


def series(records: Iterable[Record], kind: str, field: str, within: str | None = None) -> Series:
    """The numbers in `field` of all records of a kind that have a step; within: take this key of an object in it."""
    found: dict[int, float] = {}
    for record in records:
        if record.kind != kind or record.step is None or abs(record.step) >= _STEPS:
            continue
        if within is None:
            number = record.number(field)
        else:
            inside = record.fields.get(field)
            number = Record(kind, fields=inside).number(within) if isinstance(inside, dict) else None
        if number is not None:
            found[record.step] = number
    steps = sorted(found)
    return Series(np.array(steps, dtype=np.int64), np.array([found[step] for step in steps], dtype=np.float64))


def thinned(line: Series, most: int) -> tuple[NDArray[np.float64], ...]:
    """At most `most` points of a series for drawing: steps, means, lows and highs of equal groups of its finite values.

    Lows and highs are kept beside the means, so that a spike of one step is not drawn away.
    """
    usable = np.isfinite(line.values)
    steps, values = line.steps[usable].astype(np.float64), line.values[usable]
    if len(values) <= most:
        return steps, values, values, values
    starts = np.linspace(0, len(values), most, endpoint=False).astype(np.int64)
    sizes = np.diff(np.append(starts, len(values)))
    return (
        np.add.reduceat(steps, starts) / sizes,
        np.add.reduceat(values, starts) / sizes,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
    )
