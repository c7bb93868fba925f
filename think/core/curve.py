"""A curve in text: braille dots, eight to a character, so that a terminal shows what a run does. Standard library only.

Every value is drawn, also when many share a column: a spike of one step stays visible. Values that are not finite are
marked below the axis and never hidden.
"""

import math
from collections.abc import Iterator, Sequence

_EMPTY = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"Bit of each dot of a braille character, by row and column."

_FLAT = 0.5
"Half of the range shown when all values are equal."


def curve(
    values: Sequence[float],
    width: int = 64,
    height: int = 10,
    *,
    ends: tuple[str, str] | None = None,
    mark: float | None = None,
) -> str:
    """Draw the values from left to right in `width` x `height` characters, labels and axis included; at least 20 x 3.

    ends: labels of the first and the last value.   mark: a level drawn dotted, such as a baseline.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "(nothing to draw yet)" if not values else f"({len(values)} values, none of them finite)"
    levels = [*finite, mark] if mark is not None and math.isfinite(mark) else finite
    low, high = min(levels), max(levels)
    if low == high:
        low, high = low - _FLAT * (abs(low) or 1.0), high + _FLAT * (abs(high) or 1.0)
    labels = [f"{high:.4g}", f"{low:.4g}"]
    gutter = max(map(len, labels))
    columns, rows = max(width, 20) - gutter - 2, max(height, 3) - 2
    canvas = _Canvas(columns, rows)
    last = max(len(values) - 1, 1)
    places = [(round(index * (2 * columns - 1) / last), value) for index, value in enumerate(values)]
    scale = (4 * rows - 1) / (high - low)
    if mark is not None and math.isfinite(mark):
        for x in range(0, 2 * columns, 4):
            canvas.dot(x, round((high - mark) * scale))
    before: tuple[int, int] | None = None
    for x, value in places:
        if not math.isfinite(value):
            before = None
            continue
        here = (x, round((high - value) * scale))
        for point in _line(before or here, here):
            canvas.dot(*point)
        before = here
    broken = {x // 2 for x, value in places if not math.isfinite(value)}
    lines = [
        f"{labels[0] if row == 0 else labels[1] if row == rows - 1 else '':>{gutter}} │{text}"
        for row, text in enumerate(canvas.lines())
    ]
    axis = "".join("×" if column in broken else "─" for column in range(columns))
    left, right = ends if ends is not None else ("1", str(len(values)))
    names = f"{left}{right:>{max(columns - len(left), len(right) + 1)}}"
    note = f"  × {len(values) - len(finite)} not finite" if broken else ""
    return "\n".join([*lines, f"{'':>{gutter}} └{axis}{note}", f"{'':>{gutter}}  {names}"])


class _Canvas:
    """Dots, two columns and four rows to a character."""

    def __init__(self, columns: int, rows: int):
        self._cells = [[_EMPTY] * columns for _ in range(rows)]

    def dot(self, x: int, y: int) -> None:
        self._cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]

    def lines(self) -> list[str]:
        return ["".join(map(chr, cells)).rstrip(chr(_EMPTY)) for cells in self._cells]


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Dots of a straight line, both ends included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        yield (
            start[0] + round((end[0] - start[0]) * step / steps),
            start[1] + round((end[1] - start[1]) * step / steps),
        )
