"""Figures by place and step as a heat map in SVG: one colour, from faint at the lowest to full at the highest."""

import math
from collections.abc import Mapping, Sequence

from think.core.page.markup import Html, tag
from think.core.page.scale import label

LABEL, CELL, ROW, HEAD, FOOT = 130.0, 630.0, 20.0, 4.0, 20.0
MOST = 60
"Steps shown; of more, evenly chosen ones with the first and the last."


def heat(title: str, rows: Sequence[str], figures: Sequence[Mapping[int, float]], *, logarithmic: bool = False) -> Html:
    """One map; nothing without figures.

    figures       by step, for each row; a step that a row has not is left empty
    logarithmic   of the colour, for figures above zero that differ by orders; what is not above zero is as the lowest
    """
    every = sorted({step for by_step in figures for step in by_step})
    finite = [value for by_step in figures for value in by_step.values() if math.isfinite(value)]
    if not every:
        return Html("")
    steps = _chosen(every)
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    colour = Colour([value for value in finite if value > 0] if logarithmic else finite, logarithmic)
    wide, drawn = CELL / len(steps), []
    for at, (row, by_step) in enumerate(zip(rows, figures, strict=True)):
        y = HEAD + at * ROW
        drawn.append(tag("text", row, of={"x": LABEL - 8, "y": y + ROW - 6, "text-anchor": "end"}))
        for place, step in enumerate(steps):
            if step in by_step:
                drawn.append(_cell(row, step, by_step[step], colour, LABEL + place * wide, y, wide))
    tall = HEAD + len(rows) * ROW + FOOT
    for place, anchor in ((0, "start"), (len(steps) - 1, "end")):
        x = LABEL + (place + (anchor == "end")) * wide
        if place or anchor == "start":
            drawn.append(tag("text", f"step {steps[place]:,}", of={"x": x, "y": tall - 5, "text-anchor": anchor}))
    named = {"viewBox": f"0 0 {LABEL + CELL:g} {tall:g}", "role": "img", "aria-label": title}
    span = f"{label(low)} to {label(high)}" if finite else "none of them finite"
    left_out = f", {len(steps)} of {len(every):,} steps" if len(steps) < len(every) else ""
    ramp = Colour([0.0, 5.0])
    scale = tag(
        "span", *(tag("i", of={"style": f"opacity:{ramp.share(n):.2f}"}) for n in range(6)), of={"class": "ramp"}
    )
    how = ", colours on a logarithmic scale" if logarithmic else ""
    caption = tag("figcaption", tag("b", title), f", {span}{how}{left_out} ", scale)
    return tag("figure", caption, tag("svg", *drawn, of=named))


class Colour:
    """How full the colour of a figure is: from 0.08, so that the lowest is seen to be there, to 1."""

    def __init__(self, values: Sequence[float], logarithmic: bool = False):
        self._of = (lambda value: math.log(max(value, min(values)))) if logarithmic and values else float
        self._low, self._high = self._of(min(values, default=0.0)), self._of(max(values, default=0.0))

    def share(self, value: float) -> float:
        span = self._high - self._low
        return 0.08 + 0.92 * ((self._of(value) - self._low) / span if span > 0 else 0.5)


def _cell(row: str, step: int, value: float, colour: Colour, x: float, y: float, wide: float) -> Html:
    said = tag("title", f"{row}, step {step:,}: {value:.4g}")
    gap = 1.0 if wide > 6 else 0.0
    place: dict[str, str | float] = {"x": x, "y": y, "width": max(wide - gap, 0.5), "height": ROW - 2}
    if not math.isfinite(value):
        return tag("rect", said, of={**place, "class": "bad"})
    return tag("rect", said, of={**place, "class": "heat", "fill-opacity": colour.share(value)})


def _chosen(every: Sequence[int]) -> list[int]:
    if len(every) <= MOST:
        return list(every)
    return [every[round(place * (len(every) - 1) / (MOST - 1))] for place in range(MOST)]
