"""Series out of buckets, each made when somebody looks at it: a frame shows a dozen of perhaps a hundred."""

from collections.abc import Iterator, Mapping

import numpy as np

from think.core.telemetry.buckets import Buckets, distinct
from think.tui.view import Array, Series, read_only


class LazyCurves(Mapping[str, Series]):
    """Name -> Series over buckets that never change; `names` maps the shown names to kind and column."""

    def __init__(self, tables: Mapping[str, Buckets], *, sampled: bool) -> None:
        self._tables, self._sampled = tables, sampled
        self._names = {f"{kind}.{name}": (kind, name) for kind, table in tables.items() for name in table.names}
        self._made: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        made = self._made.get(name)
        if made is None:
            kind, column = self._names[name]
            made = self._made[name] = series(name, self._tables[kind], column, sampled=self._sampled)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def series(name: str, table: Buckets, column: str, *, sampled: bool) -> Series:
    """One column of a table, without the buckets that hold nothing of it."""
    row = table.names.index(column)
    count = table.count[row]
    keep = slice(None) if (count > 0).all() else count > 0
    low, high = table.low[row][keep], table.high[row][keep]
    good = count[keep] - table.bad[row][keep]
    if not good.all():  # otherwise the buckets' own arrays are shown, and nothing is copied
        low, high = np.where(good > 0, low, np.nan), np.where(good > 0, high, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = table.total[row][keep] / good  # 0 / 0 is NaN
    return Series(
        name=name,
        steps=_locked(table.steps[keep]),
        times=_locked(table.times[keep]),
        minimum=_locked(low),
        maximum=_locked(high),
        mean=_locked(mean),
        last=_locked(table.last[row][keep]),
        count=_locked(count[keep]),
        non_finite=_locked(table.bad[row][keep]),
        width=table.width,
        sampled=sampled,
    )


def shares(curves: Mapping[str, Series], kind: str = "component_gradients", field: str = "norms") -> dict[str, Series]:
    """By component: its share of the squared gradient norm, from the means of the buckets; 0 to 1."""
    prefix = f"{kind}.{field}."
    found = {name.removeprefix(prefix): curves[name] for name in curves if name.startswith(prefix)}
    if not found:
        return {}
    steps = distinct(np.concatenate([one.steps for one in found.values()]))
    squares = {name: np.full(len(steps), np.nan) for name in found}
    for name, one in found.items():
        squares[name][np.searchsorted(steps, one.steps)] = one.mean**2
    whole = np.nansum(list(squares.values()), axis=0)
    made = {}
    for name, one in found.items():
        at = np.searchsorted(steps, one.steps)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = read_only(squares[name][at] / whole[at])
        made[name] = Series(
            name, one.steps, one.times, share, share, share, share, one.count, one.non_finite, one.width, one.sampled
        )
    return made


def _locked(values: Array) -> Array:
    """A read-only view; buckets are never changed in place, so it needs no copy."""
    view = np.asarray(values, dtype=np.float64).view()
    view.flags.writeable = False
    return view
