"""Curves of any length in bounded memory: the lowest, highest, last value, sum and counts of buckets of steps.

A bucket holds the steps that give the same key, step // width. When there are more than MOST buckets the width doubles
and neighbours merge, so memory and drawing do not depend on how long a run is. Merging is exact and knows no order:
a history read from its end to its start gives the same buckets. Buckets are values: nothing here changes one in place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from think.core.telemetry.columns import ABSENT, Rows

MOST = 4096
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Buckets of the figures of one kind of record, ascending in key.

    keys, steps, times   [n] key; last step and its latest time
    low, high, total, last, last_step   [columns, n] of the finite values; inf, -inf, 0, NaN, -1 where there is none
    count, bad           [columns, n] values in the bucket; those of them that are not finite
    """

    names: tuple[str, ...]
    width: int
    keys: Array
    steps: Array
    times: Array
    low: Array
    high: Array
    total: Array
    last: Array
    last_step: Array
    count: Array
    bad: Array

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def empty(cls, names: tuple[str, ...] = (), width: int = 1) -> "Buckets":
        none, table = np.zeros(0), np.zeros((len(names), 0))
        return cls(names, width, none, none, none, table, table, table, table, table, table, table)

    @classmethod
    def of(cls, rows: Rows, width: int) -> "Buckets":
        """The buckets of some records, in any order of their steps."""
        if not len(rows):
            return cls.empty(rows.names, width)
        steps, times, values = rows.steps, rows.times, rows.values
        if len(steps) > 1 and (np.diff(steps) < 0).any():
            order = np.argsort(steps, kind="stable")
            steps, times, values = steps[order], times[order], values[:, order]
        keys = np.floor_divide(steps, width)
        starts = np.flatnonzero(np.concatenate(([True], np.diff(keys) != 0)))
        ends = np.append(starts[1:], len(steps)) - 1
        shape = (len(values), len(starts))
        head = (rows.names, width, keys[starts], steps[ends], np.maximum.reduceat(times, starts))
        if np.isfinite(values).all() and not (values == ABSENT).any():
            return cls(
                *head,
                low=np.minimum.reduceat(values, starts, axis=1),
                high=np.maximum.reduceat(values, starts, axis=1),
                total=np.add.reduceat(values, starts, axis=1),
                last=values[:, ends],
                last_step=np.broadcast_to(steps[ends], shape),
                count=np.broadcast_to(ends - starts + 1.0, shape),
                bad=np.zeros(shape),
            )
        present = values != ABSENT
        finite = present & np.isfinite(values)
        at = np.maximum.reduceat(np.where(finite, np.arange(len(steps)), -1), starts, axis=1)
        return cls(
            *head,
            low=np.minimum.reduceat(np.where(finite, values, np.inf), starts, axis=1),
            high=np.maximum.reduceat(np.where(finite, values, -np.inf), starts, axis=1),
            total=np.add.reduceat(np.where(finite, values, 0.0), starts, axis=1),
            last=np.where(at >= 0, np.take_along_axis(values, at, axis=1), np.nan),
            last_step=np.where(at >= 0, steps[at], -1.0),
            count=np.add.reduceat(present, starts, axis=1, dtype=np.float64),
            bad=np.add.reduceat(present & ~finite, starts, axis=1, dtype=np.float64),
        )

    def with_names(self, names: tuple[str, ...]) -> "Buckets":
        """The same buckets with these columns, in this order; new ones hold nothing."""
        if names == self.names:
            return self
        place = {name: number for number, name in enumerate(self.names)}
        chosen = [place.get(name, -1) for name in names]
        n = len(self)

        def columns(table: Array, nothing: float) -> Array:
            padded = np.vstack([table, np.full((1, n), nothing)])
            return padded[chosen]

        return Buckets(
            names,
            self.width,
            self.keys,
            self.steps,
            self.times,
            columns(self.low, np.inf),
            columns(self.high, -np.inf),
            columns(self.total, 0.0),
            columns(self.last, np.nan),
            columns(self.last_step, -1.0),
            columns(self.count, 0.0),
            columns(self.bad, 0.0),
        )

    def coarser(self, width: int) -> "Buckets":
        """With buckets of `width` steps, which is this width times a power of two."""
        found = self
        while found.width < width:
            found = _merged(found, np.floor_divide(found.keys, 2), found.width * 2)
        return found

    def up_to(self, step: float) -> "Buckets":
        """Without the buckets that hold only later steps."""
        return self._chosen(self.keys * self.width <= step)

    def after(self, step: float) -> "Buckets":
        """Only the buckets that begin after this step."""
        return self._chosen(self.keys * self.width > step)

    def _chosen(self, keep: NDArray[np.bool_]) -> "Buckets":
        if keep.all():
            return self
        tables = (self.low, self.high, self.total, self.last, self.last_step, self.count, self.bad)
        return Buckets(
            self.names,
            self.width,
            self.keys[keep],
            self.steps[keep],
            self.times[keep],
            *(table[:, keep] for table in tables),
        )

    def ends_between(self, step: float) -> bool:
        """Whether some bucket holds this step and could hold the next one: cutting after it would be inexact."""
        return self.width > 1 and (step + 1) % self.width != 0 and step // self.width in self.keys


def width_for(steps: Array, width: int, most: int = MOST) -> int:
    """The smallest width, doubled from `width`, that puts these steps into at most `most` buckets."""
    keys = np.floor_divide(steps, width)
    while len(keys) > most:
        keys = np.unique(keys)
        if len(keys) > most:
            keys, width = np.floor_divide(keys, 2), width * 2
    return width


def joined(first: Buckets, second: Buckets, most: int = MOST) -> Buckets:
    """All that is in both, in at most `most` buckets."""
    if not len(second):
        names = tuple(dict.fromkeys((*first.names, *second.names)))
        return first.with_names(names)
    names = tuple(dict.fromkeys((*first.names, *second.names)))
    width = max(first.width, second.width)
    first, second = first.with_names(names).coarser(width), second.with_names(names).coarser(width)
    together = _concatenated(first, second)
    if len(first) and second.keys[0] <= first.keys[-1]:
        order = np.argsort(together.keys, kind="stable")
        together = Buckets(
            names,
            width,
            together.keys[order],
            together.steps[order],
            together.times[order],
            *(table[:, order] for table in _tables(together)),
        )
        together = _merged(together, together.keys, width)
    while len(together) > most:
        together = together.coarser(together.width * 2)
    return together


def _tables(buckets: Buckets) -> tuple[Array, ...]:
    return (buckets.low, buckets.high, buckets.total, buckets.last, buckets.last_step, buckets.count, buckets.bad)


def _concatenated(first: Buckets, second: Buckets) -> Buckets:
    if not len(first):
        return second
    return Buckets(
        first.names,
        first.width,
        np.concatenate((first.keys, second.keys)),
        np.concatenate((first.steps, second.steps)),
        np.concatenate((first.times, second.times)),
        *(np.concatenate(pair, axis=1) for pair in zip(_tables(first), _tables(second), strict=True)),
    )


def _merged(buckets: Buckets, keys: Array, width: int) -> Buckets:
    """Buckets under new ascending keys, of which at most two in a row are equal."""
    if not len(buckets):
        return Buckets.empty(buckets.names, width)
    starts = np.flatnonzero(np.concatenate(([True], np.diff(keys) != 0)))
    ends = np.append(starts[1:], len(keys)) - 1
    later = buckets.last_step[:, ends] >= buckets.last_step[:, starts]
    return Buckets(
        buckets.names,
        width,
        keys[starts],
        np.maximum(buckets.steps[starts], buckets.steps[ends]),
        np.maximum(buckets.times[starts], buckets.times[ends]),
        np.minimum(buckets.low[:, starts], buckets.low[:, ends]),
        np.maximum(buckets.high[:, starts], buckets.high[:, ends]),
        np.add.reduceat(buckets.total, starts, axis=1),
        np.where(later, buckets.last[:, ends], buckets.last[:, starts]),
        np.maximum(buckets.last_step[:, starts], buckets.last_step[:, ends]),
        np.add.reduceat(buckets.count, starts, axis=1),
        np.add.reduceat(buckets.bad, starts, axis=1),
    )
