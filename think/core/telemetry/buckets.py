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
        starts = np.flatnonzero(_starts(keys))
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
            found = _merged((found,), np.arange(len(found)), found.width * 2)
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


def distinct(values: Array) -> Array:
    """Each value once, ascending; np.unique without what it loads."""
    ordered = np.sort(values)
    return ordered[_starts(ordered)]


def width_for(steps: Array, width: int, most: int = MOST) -> int:
    """The smallest width, doubled from `width`, that puts these steps into at most `most` buckets."""
    keys = np.floor_divide(steps, width)
    while len(keys) > most:
        keys = distinct(keys)
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
    if not len(first):
        together = second
    elif second.keys[0] > first.keys[-1]:
        together = _merged((first, second), np.arange(len(first) + len(second)), width)
    else:
        order = np.argsort(np.concatenate((first.keys, second.keys)), kind="stable")
        together = _merged((first, second), order, width)
    while len(together) > most:
        together = together.coarser(together.width * 2)
    return together


def _starts(keys: Array) -> NDArray[np.bool_]:
    """Where another key begins; the keys are in order."""
    return np.concatenate((np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]))


def _merged(parts: tuple[Buckets, ...], order: NDArray[np.int64], width: int) -> Buckets:
    """Buckets put into an order in which equal keys, two at most, stand together, and those merged.

    One figure after the other, so that only one of them is there twice.
    """

    def ordered(name: str) -> Array:
        tables = [getattr(part, name) for part in parts]
        return (np.concatenate(tables, axis=-1) if len(tables) > 1 else tables[0])[..., order]

    keys = np.floor_divide(ordered("keys") * parts[0].width, width)
    starts = np.flatnonzero(_starts(keys))
    ends = np.append(starts, len(keys))[1:] - 1

    def pairs(name: str) -> tuple[Array, Array]:
        table = ordered(name)
        return table[..., starts], table[..., ends]

    alone = starts == ends
    step, other_step = pairs("last_step")
    last, other_last = pairs("last")

    def added(name: str) -> Array:
        one, other = pairs(name)
        return one + np.where(alone, 0.0, other)

    return Buckets(
        parts[0].names,
        width,
        keys[starts],
        np.maximum(*pairs("steps")),
        np.maximum(*pairs("times")),
        low=np.minimum(*pairs("low")),
        high=np.maximum(*pairs("high")),
        total=added("total"),
        last=np.where(other_step >= step, other_last, last),
        last_step=np.maximum(step, other_step),
        count=added("count"),
        bad=added("bad"),
    )
