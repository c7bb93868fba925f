"""A matrix of figures as a heat map: each cell has its number, and a block whose height says how it stands."""

import numpy as np

from think.tui.view import Matrix
from think.tui.widgets import figures
from think.tui.widgets.cells import Block, Line, Span, cell_len, fit, fit_line

_BLOCKS = "▁▂▃▄▅▆▇█"
"Lowest to highest of a column."
LABEL, LEAST, GAP = 18, 10, 2
_ROLES = ("first", "first", "first", "", "", "second", "second", "second")


def heat(matrix: Matrix, cells: int) -> tuple[Line, Block]:
    """Head and rows. Figures have units of their own, so each column is shaded from its lowest to its highest."""
    widths: list[int] = []
    for name in matrix.columns:  # as many columns as fit
        wide = max(LEAST, cell_len(name) + GAP)
        if widths and LABEL + sum(widths) + len(widths) + wide + 1 > cells:
            break
        widths.append(wide)
    head: list[Span] = [(fit("  layer branch", LABEL), "dim")]
    head += [(fit(name, wide + 1, "right"), "dim") for name, wide in zip(matrix.columns, widths, strict=False)]
    shades = [_shades(matrix.values[:, number]) for number in range(len(widths))]
    body: Block = []
    for row, (layer, branch) in enumerate(matrix.rows):
        spans: list[Span] = [(f"  {layer:>5} ", "dim"), (fit(branch, LABEL - 8), "")]
        for number, wide in enumerate(widths):
            shade, value = shades[number][row], float(matrix.values[row, number])
            if shade is None:  # NaN: never measured; infinite: measured, and that bad
                spans.append((fit(figures.NOTHING if np.isnan(value) else figures.number(value), wide, "right"), "dim"))
                spans.append((" ", ""))
            else:
                spans += [(fit(figures.number(value, 3), wide - 1, "right") + " ", ""), (_BLOCKS[shade], _ROLES[shade])]
        body.append(fit_line(tuple(spans), cells))
    return fit_line(tuple(head), cells), body


def _shades(values: np.ndarray) -> list[int | None]:
    """By row: 0 for the lowest, 7 for the highest; None for what is not finite."""
    usable = np.isfinite(values)
    if not usable.any():
        return [None] * len(values)
    low, high = float(values[usable].min()), float(values[usable].max())
    span = high - low
    return [
        None if not good else 3 if span <= 0 else min(int((value - low) / span * 8), 7)
        for value, good in zip(values.tolist(), usable.tolist(), strict=True)
    ]


def spark(values: np.ndarray, cells: int) -> str:
    """A curve in one line of blocks; each cell shows the mean of what falls on it, × where nothing is finite."""
    if not len(values):
        return ""
    starts = np.linspace(0, len(values), min(cells, len(values)), endpoint=False).astype(np.int64)
    usable = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.add.reduceat(np.where(usable, values, 0.0), starts) / np.add.reduceat(usable.astype(float), starts)
    return "".join("×" if shade is None else _BLOCKS[shade] for shade in _shades(means))
