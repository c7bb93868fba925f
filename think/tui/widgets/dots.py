"""A canvas of braille dots, two columns and four rows to a cell, with a role for each cell. numpy only."""

import itertools

import numpy as np
from numpy.typing import NDArray

from think.tui.widgets.axes import Array
from think.tui.widgets.cells import Block, Span

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)
"Bit of each dot of a braille character, by row and column."
_EMPTY = 0x2800
DASH, GAP = 4, 3
"Dots of a dashed line, and between its dashes."


class Canvas:
    """`columns` x `rows` cells. What is drawn later lies on top: a cell has the role of the last curve in it."""

    def __init__(self, columns: int, rows: int):
        self.columns, self.rows = columns, rows
        self._dots: NDArray[np.bool_] = np.zeros((rows * 4, columns * 2), dtype=bool)
        self._roles: NDArray[np.int16] = np.zeros((rows, columns), dtype=np.int16)
        self._names = [""]

    def dashed(self, place: float, role: str) -> None:
        """A level line across the canvas.   place: 0 at the bottom, 1 at the top."""
        layer = np.zeros_like(self._dots)
        x = np.arange(self._dots.shape[1])
        layer[round((1 - place) * (self._dots.shape[0] - 1)), x % (DASH + GAP) < DASH] = True
        self._lay(layer, role)

    def curve(self, x: Array, low: Array, high: Array, middle: Array, role: str) -> None:
        """A curve through `middle` with its range from `low` to `high`; all places from 0 to 1, x ascending.

        Each dot column shows the lowest and the highest value that falls on it, so nothing is ever drawn away.
        Columns between two values are joined by a straight line; what is NaN leaves a gap.
        """
        width, height = self._dots.shape[1], self._dots.shape[0]
        column = np.clip(np.round(x * (width - 1)), 0, width - 1).astype(np.int64)
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        used = column[starts]
        with np.errstate(invalid="ignore"):
            lows = np.fmin.reduceat(low, starts)
            highs = np.fmax.reduceat(high, starts)
            middles = np.fmax.reduceat(middle, starts) * 0.5 + np.fmin.reduceat(middle, starts) * 0.5
        lows, highs = np.where(np.isnan(lows), middles, lows), np.where(np.isnan(highs), middles, highs)
        if len(used) == 1:
            bottom, top, at = lows, highs, used
        else:
            at = np.arange(used[0], used[-1] + 1)
            line = np.interp(at, used, middles)  # NaN at either end of a stretch makes it NaN
            bottom, top = line.copy(), line.copy()
            bottom[used - used[0]], top[used - used[0]] = lows, highs
        # rows count from the top
        first = np.round((1 - np.clip(top, 0, 1)) * (height - 1))
        last = np.round((1 - np.clip(bottom, 0, 1)) * (height - 1))
        # each column reaches to its neighbour on the left, so that steep curves have no holes
        before, after = last[:-1] + 1, first[:-1] - 1
        with np.errstate(invalid="ignore"):
            first[1:], last[1:] = (
                np.where(first[1:] > before, before, first[1:]),
                np.where(last[1:] < after, after, last[1:]),
            )
        rows = np.arange(height)[:, None]
        with np.errstate(invalid="ignore"):
            inside = (rows >= first[None, :]) & (rows <= last[None, :])
        layer = np.zeros_like(self._dots)
        layer[:, at] = inside
        self._lay(layer, role)

    def lines(self) -> Block:
        """The cells as lines of spans, blanks without a role."""
        blocks = self._dots.reshape(self.rows, 4, self.columns, 2)
        codes = np.einsum("rycx,yx->rc", blocks.astype(np.int64), _BITS)
        return [self._line(codes[row], self._roles[row]) for row in range(self.rows)]

    def _line(self, codes: NDArray[np.int64], roles: NDArray[np.int16]) -> tuple[Span, ...]:
        text = (codes + _EMPTY).astype("<u4").tobytes().decode("utf-32-le").replace(chr(_EMPTY), " ")
        cuts = [0, *(np.flatnonzero(np.diff(roles)) + 1).tolist(), self.columns]
        return tuple((text[start:stop], self._names[int(roles[start])]) for start, stop in itertools.pairwise(cuts))

    def _lay(self, layer: NDArray[np.bool_], role: str) -> None:
        if role not in self._names:
            self._names.append(role)
        self._dots |= layer
        cells = layer.reshape(self.rows, 4, self.columns, 2).any(axis=(1, 3))
        self._roles[cells] = self._names.index(role)
