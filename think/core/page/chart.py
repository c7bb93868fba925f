"""Curves as SVG inside a page. Colours come from the style of the page, so that it can be light and dark.

A curve with more points than are drawn is a line of means inside a band from low to high: no spike is drawn away. What
is not finite is a cross at the foot, and counted in the legend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from think.core.page.markup import Html, joined, tag
from think.core.page.scale import Scale, label, over
from think.core.series import Series, thinned

WIDTH, HEIGHT = 760.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 12.0, 26.0, 34.0
POINTS = 500
COLOURS = 6
"Of the style; a seventh curve begins again."
MARKS = 200
"Drawn at most, so that a run with an anomaly at each step stays readable."
FEW = 60
"Points up to which each is a dot with its figure."


@dataclass(frozen=True)
class Level:
    """A dashed line across, such as a threshold."""

    value: float
    name: str


@dataclass(frozen=True)
class Mark:
    """A step at which something happened, and what."""

    step: int
    name: str


@dataclass(frozen=True)
class Chart:
    """What one drawing shows. steps: first and last of the axis across. bars: low and high of points, by curve."""

    title: str
    unit: str
    curves: Mapping[str, Series]
    steps: tuple[int, int]
    levels: Sequence[Level] = ()
    marks: Sequence[Mark] = ()
    bars: Mapping[str, Mapping[int, tuple[float, float]]] | None = None
    logarithmic: bool = False
    from_zero: bool = False

    def svg(self) -> Html:
        """The drawing with its legend above; nothing where no curve has a point."""
        curves = {name: line for name, line in self.curves.items() if len(line)}
        if not curves:
            return Html("")
        across = over(self.steps, LEFT, WIDTH - RIGHT)
        across = Scale(float(self.steps[0]), float(max(self.steps[1], self.steps[0] + 1)), across.start, across.end)
        down = self._down(curves)
        drawn = [_axes(across, down)]
        drawn += [self._level(level, down) for level in self.levels]
        bars = self.bars or {}
        for number, (name, line) in enumerate(curves.items()):
            drawn.append(_curve(name, line, f"c{number % COLOURS}", across, down, bars.get(name, {})))
        drawn += [_mark(mark, across) for mark in self.marks[-MARKS:]]
        picture = tag(
            "svg",
            *drawn,
            of={"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "aria-label": f"{self.title}, {self.unit}"},
        )
        return tag("figure", tag("figcaption", tag("b", self.title), f", {self.unit}", _legend(curves)), picture)

    def _down(self, curves: Mapping[str, Series]) -> Scale:
        values = [float(value) for line in curves.values() for value in line.values]
        values += [level.value for level in self.levels]
        values += [edge for by_step in (self.bars or {}).values() for pair in by_step.values() for edge in pair]
        logarithmic = self.logarithmic and any(value > 0 for value in values)
        return over(values, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic, from_zero=self.from_zero)

    def _level(self, level: Level, down: Scale) -> Html:
        y = down.at(level.value)
        line = tag("line", of={"class": "level", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": y, "y2": y})
        name = tag("text", level.name, of={"class": "level", "x": WIDTH - RIGHT - 2, "y": y - 4, "text-anchor": "end"})
        return joined([line, name])


def _axes(across: Scale, down: Scale) -> Html:
    drawn = []
    for value in down.ticks():
        y = down.at(value)
        drawn.append(tag("line", of={"class": "grid", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": y, "y2": y}))
        drawn.append(tag("text", label(value), of={"x": LEFT - 8, "y": y + 4, "text-anchor": "end"}))
    for value in across.ticks(8):
        if value == round(value):  # there is no half a step
            x = across.at(value)
            drawn.append(tag("text", label(value), of={"x": x, "y": HEIGHT - 12, "text-anchor": "middle"}))
    foot = HEIGHT - BOTTOM
    drawn.append(tag("line", of={"class": "axis", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": foot, "y2": foot}))
    drawn.append(tag("text", "step", of={"x": LEFT - 8, "y": HEIGHT - 12, "text-anchor": "end"}))
    return joined(drawn)


def _curve(
    name: str, line: Series, colour: str, across: Scale, down: Scale, bars: Mapping[int, tuple[float, float]]
) -> Html:
    steps, means, lows, highs = thinned(line, POINTS)
    drawn = []
    if highs is not means:
        edge = [*zip(steps, highs, strict=True), *reversed(list(zip(steps, lows, strict=True)))]
        drawn.append(tag("polygon", of={"class": colour, "points": _points(edge, across, down)}))
    drawn.append(tag("polyline", of={"class": colour, "points": _points(zip(steps, means, strict=True), across, down)}))
    for step, (low, high) in bars.items():
        x = across.at(step)
        drawn.append(
            tag("line", of={"class": f"bar {colour}", "x1": x, "x2": x, "y1": down.at(low), "y2": down.at(high)})
        )
    if len(steps) <= FEW:
        for step, mean in zip(steps, means, strict=True):
            said = tag("title", f"{name}: {mean:.6g} at step {int(step):,}")
            place: dict[str, str | float] = {
                "class": colour, "cx": across.at(step), "cy": down.at(mean), "r": 2.5
            }  # fmt: skip
            drawn.append(tag("circle", said, of=place))
    for step in line.steps[~np.isfinite(line.values)][-MARKS:]:
        x, y = across.at(float(step)), HEIGHT - BOTTOM - 6
        shape = f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"
        drawn.append(tag("path", tag("title", f"{name}: not finite at step {step:,}"), of={"class": "bad", "d": shape}))
    return joined(drawn)


def _points(pairs: object, across: Scale, down: Scale) -> str:
    return " ".join(f"{across.at(float(x)):.1f},{down.at(float(y)):.1f}" for x, y in pairs)  # type: ignore[attr-defined]


def _mark(mark: Mark, across: Scale) -> Html:
    x = across.at(mark.step)
    shape = f"M{x - 4:.1f} {TOP - 14:.1f}h8l-4 8z"
    return tag("path", tag("title", f"step {mark.step:,}: {mark.name}"), of={"class": "mark", "d": shape})


def _legend(curves: Mapping[str, Series]) -> Html:
    if len(curves) == 1 and not next(iter(curves.values())).not_finite:
        return Html("")  # the title says it
    parts = []
    for number, (name, line) in enumerate(curves.items()):
        bad = f", {line.not_finite:,} not finite" if line.not_finite else ""
        parts.append(tag("span", f"{name}{bad}", of={"class": f"key c{number % COLOURS}"}))
    return tag("span", *parts, of={"class": "legend"})
