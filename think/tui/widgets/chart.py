"""Curves in text: axes with round ticks, thresholds as dashed lines, values that are not finite marked on the axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from think.tui.view import Limit, Series
from think.tui.widgets import dots, figures
from think.tui.widgets.axes import Array, Scale, labels
from think.tui.widgets.cells import Block, Line, Span, cell_len, cut, fit, fit_line, heading, width
from think.tui.widgets.remember import Remembered, content

SMOOTHING_SHARE = 0.03
"Share of the shown range over which smoothing takes its exponential mean: seen as a trend, not as a delay."

_CHARTS = Remembered(32)

LEAST_WIDTH, LEAST_HEIGHT = 16, 4
TICK_ROWS = 2
"Rows of the plot for each tick of the vertical axis."
MOST_TICKS = 6
TICK_CELLS = 14
NOTE_ROOM = 8


@dataclass(frozen=True)
class Curve:
    """One series in a plot.   role: its colour;   name: shown where a plot has several."""

    series: Series
    role: str = "first"
    name: str = ""


@dataclass(frozen=True)
class Look:
    """How plots are drawn; the same for all on a screen.

    logarithmic  the value axis          smooth   the exponential mean, the values behind it dim
    by_time      hours and minutes since the first value, instead of steps
    """

    logarithmic: bool = False
    smooth: bool = False
    by_time: bool = False


@dataclass(frozen=True)
class Plot:
    """unit: of the values, "" for none;   digits: significant digits of the newest value in the heading."""

    title: str
    curves: tuple[Curve, ...]
    unit: str = ""
    limits: tuple[Limit, ...] = ()


def chart(plot: Plot, cells: int, rows: int, look: Look = Look()) -> Block:
    """The plot in exactly so many cells and rows, heading and axes included."""
    looks = tuple((content(curve.series), curve.role, curve.name) for curve in plot.curves)
    key = (plot.title, plot.unit, plot.limits, looks, cells, rows, look)
    return _CHARTS.drawn(key, lambda: _drawn(plot, cells, rows, look))


def _drawn(plot: Plot, cells: int, rows: int, look: Look) -> Block:
    curves = [curve for curve in plot.curves if len(curve.series)]
    scale = _range(curves, plot.limits, look)
    top = heading(plot.title, cells, _note(plot, scale, cells))
    if rows < LEAST_HEIGHT or cells < LEAST_WIDTH or not curves:
        told = "nothing recorded yet" if not curves else ""
        return _filled([top, ((f"  {told}", "dim"),)], cells, rows)
    extent = [_positions(curve.series, look) for curve in curves]
    left, right = min(float(x[0]) for x in extent), max(float(x[-1]) for x in extent)
    if scale is None:
        told = "no value above 0 for a logarithmic scale" if look.logarithmic else "no finite value"
        return _filled([top, ((f"  {told}", "bad"),)], cells, rows)
    height = rows - 3
    ticks = scale.ticks(min(max(height // TICK_ROWS, 2), MOST_TICKS))
    if not ticks:
        ticks = [scale.high]
    marks = labels(ticks, logarithmic=scale.logarithmic and len(ticks) > 1)
    gutter = min(max(6, *map(len, marks)), 10)
    columns = cells - gutter - 1
    canvas = dots.Canvas(columns, height)
    for limit in plot.limits:
        place = float(scale.place(np.array([limit.value]))[0])
        if 0 <= place <= 1:
            canvas.dashed(place, "limit")
    span = right - left if right > left else 1.0
    for curve, positions in zip(curves, extent, strict=True):
        x = (positions - left) / span if right > left else np.full(len(positions), 0.5)
        series = curve.series
        low, high = scale.place(series.minimum), scale.place(series.maximum)
        if look.smooth and len(series) > 2:
            canvas.curve(x, low, high, scale.place(series.mean), "dim")
            smooth = scale.place(smoothed(series.mean))
            canvas.curve(x, smooth, smooth, smooth, curve.role)
        else:
            canvas.curve(x, low, high, scale.place(series.mean), curve.role)
    broken = _broken(curves, extent, left, span, columns, one=right <= left)
    body: Block = []
    by_row = {_row(scale, value, height): label for value, label in zip(ticks, marks, strict=True)}
    for row, spans in enumerate(_labelled(canvas.lines(), plot, scale, height, columns)):
        label = by_row.get(row, "")
        body.append(((fit(label, gutter, "right"), "dim"), ("┤" if label else "│", "dim"), *spans))
    axis = "".join("×" if broken[column] else "─" for column in range(columns))
    body.append(((" " * gutter + "└", "dim"), *_runs(axis)))
    body.append(((" " * (gutter + 1), ""), *_below(left, right, columns, look)))
    return [top, *body]


def smoothed(values: Array) -> Array:
    """Exponential mean over a share of the curve; gaps are passed over. Corrected at the start, as Adam does it."""
    reach = max(len(values) * SMOOTHING_SHARE, 1.0)
    keep = 1.0 - 1.0 / reach
    found = np.full(len(values), np.nan)
    mean = weight = 0.0
    for place, value in enumerate(values.tolist()):
        if math.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
            found[place] = mean / weight
    return found


def _filled(lines: Block, cells: int, rows: int) -> Block:
    return [*(fit_line(of, cells) for of in lines), *[()] * max(rows - len(lines), 0)][:rows]


def _note(plot: Plot, scale: Scale | None, cells: int) -> str:
    """The newest value, and what a reader must know of the curve, as far as there is room: the last goes first."""
    parts = []
    if len(plot.curves) == 1 and len(plot.curves[0].series):
        parts.append(f"{figures.number(plot.curves[0].series.latest)}{f' {plot.unit}' if plot.unit else ''}")
    if any(curve.series.sampled for curve in plot.curves):
        parts.append("sampled")
    broken = sum(int(curve.series.non_finite.sum()) for curve in plot.curves)
    if broken:
        parts.append(f"× {broken:,} not finite")
    for limit in plot.limits:
        if scale is not None and not scale.low <= limit.value <= scale.high:
            parts.append(f"{_said(limit)} {'↑' if limit.value > scale.high else '↓'}")
    while parts and cell_len(plot.title) + cell_len(" · ".join(parts)) + NOTE_ROOM > cells:
        parts.pop()
    return " · ".join(reversed(parts))


def _said(limit: Limit) -> str:
    return f"{limit.label} {figures.number(limit.value, 3)}"


def _labelled(lines: Block, plot: Plot, scale: Scale, height: int, columns: int) -> Block:
    """The thresholds' names at the right end of their dashed lines, where no curve is in the way."""
    rows = list(lines)
    for limit in plot.limits:
        row, text = _row(scale, limit.value, height), f" {_said(limit)} "
        if scale.low <= limit.value <= scale.high and len(text) < columns // 2:
            left, right = cut(rows[row], columns - len(text))
            if all(role in ("", "limit") for _, role in right):
                rows[row] = (*left, (text, "limit"))
    return rows


def _positions(series: Series, look: Look) -> Array:
    """Ascending places on the horizontal axis, in steps or seconds."""
    if not look.by_time:
        return series.steps
    return np.maximum.accumulate(np.nan_to_num(series.times - series.times[0], nan=0.0))


def _range(curves: Sequence[Curve], limits: Sequence[Limit], look: Look) -> Scale | None:
    """The range of the curves; a threshold belongs to it as long as the curves keep half of the height."""
    series = [curve.series for curve in curves if len(curve.series)]
    if not series:
        return None
    values = np.concatenate([part for one in series for part in (one.minimum, one.maximum)])
    scale = Scale.around(values, logarithmic=look.logarithmic)
    if scale is None:
        return None
    low, high = scale.low, scale.high
    for limit in limits:
        if abs(float(scale.place(np.array([limit.value]))[0]) - 0.5) <= 1.5:
            low, high = min(low, limit.value), max(high, limit.value)
    return Scale(low, high, look.logarithmic)


def _broken(
    curves: Sequence[Curve], extent: Sequence[Array], left: float, span: float, columns: int, *, one: bool
) -> list[bool]:
    """By column of cells: whether something there was not finite."""
    found = np.zeros(columns, dtype=bool)
    for curve, positions in zip(curves, extent, strict=True):
        places = positions[curve.series.non_finite > 0]
        x = np.full(len(places), 0.5) if one else (places - left) / span
        found[np.minimum((x * columns).astype(np.int64), columns - 1)] = True
    return [bool(value) for value in found]


def _row(scale: Scale, value: float, height: int) -> int:
    place = float(scale.place(np.array([value]))[0])
    return min(max(round((1 - place) * (height * 4 - 1)) // 4, 0), height - 1)


def _runs(axis: str) -> list[Span]:
    """The axis with its marks painted."""
    found: list[Span] = []
    for character in axis:
        role = "bad" if character == "×" else "dim"
        if found and found[-1][1] == role:
            found[-1] = (found[-1][0] + character, role)
        else:
            found.append((character, role))
    return found


def _below(left: float, right: float, columns: int, look: Look) -> Line:
    """Round values of the horizontal axis under their places, the two ends always."""
    told = figures.duration if look.by_time else figures.short
    text = [" "] * columns
    ends = [(0.0, told(left)), (1.0, told(right))] if right > left else [(0.5, told(left))]
    inner: list[tuple[float, str]] = []
    if right > left and not look.by_time:
        inner = [
            ((value - left) / (right - left), told(value))
            for value in Scale(left, right).ticks(max(columns // TICK_CELLS, 1))
        ]
    elif right > left:
        count = max(columns // (2 * TICK_CELLS), 1)
        inner = [(number / count, told(left + (right - left) * number / count)) for number in range(1, count)]
    for place, label in [*ends, *inner]:
        start = min(max(round(place * columns - len(label) / 2), 0), max(columns - len(label), 0))
        around = text[max(start - 2, 0) : start + len(label) + 2]
        if all(character == " " for character in around):
            text[start : start + len(label)] = label
    joined = "".join(text)[:columns]
    unit = "" if look.by_time else "step"
    if unit and joined.endswith(" " * 6):
        joined = joined[:-4] + unit
    return ((joined, "dim"),)


def legend(curves: Sequence[Curve], cells: int) -> Line:
    """━ name  ━ name"""
    spans: list[Span] = []
    for curve in curves:
        spans += [("━ ", curve.role), (curve.name, ""), ("   ", "")]
    return tuple(spans) if width(tuple(spans)) <= cells else tuple(spans[:2])
