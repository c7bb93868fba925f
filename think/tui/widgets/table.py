"""Tables: aligned columns that give way when there is no room for all."""

from collections.abc import Sequence
from dataclasses import dataclass

from think.tui.widgets.cells import Block, Line, Span, cell_len, fit, fit_line, width

GAP = 2
MARK = 2
"Cells kept free in front of each row, for the mark of the chosen one."


@dataclass(frozen=True)
class Column:
    """align: left or right;   keep: the higher, the longer it stays when the width shrinks;   most: cells at most.

    grows: gives room where there is too little, `least` cells staying as long as another column can go instead;
           takes what is left over, unless it is `snug`
    """

    title: str
    align: str = "left"
    keep: int = 50
    most: int = 40
    grows: bool = False
    least: int = 4
    snug: bool = False


Cell = Span | Line | str


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], cells: int) -> tuple[Line, Block]:
    """The head and the rows, each `cells` wide with two blank cells in front."""
    lines = [[_line(cell) for cell in row] for row in rows]
    wanted = [
        min(max([cell_len(column.title), *(width(row[number]) for row in lines)]), column.most)
        for number, column in enumerate(columns)
    ]
    kept = _kept(columns, wanted, cells - MARK)
    widths = {number: wanted[number] for number in kept}
    spare = cells - MARK - sum(widths.values()) - GAP * (len(kept) - 1)
    growing = [number for number in kept if columns[number].grows]
    if growing:
        taken = min(spare, 0) if columns[growing[0]].snug else spare
        widths[growing[0]] = max(widths[growing[0]] + taken, 4)
    head: list[Span] = [(" " * MARK, "")]
    for place, number in enumerate(kept):
        head.append(
            (" " * (GAP * (place > 0)) + fit(columns[number].title, widths[number], columns[number].align), "dim")
        )
    body = []
    for row in lines:
        spans: list[Span] = [(" " * MARK, "")]
        for place, number in enumerate(kept):
            if place:
                spans.append((" " * GAP, ""))
            spans += _aligned(row[number], widths[number], columns[number].align)
        body.append(fit_line(tuple(spans), cells))
    return fit_line(tuple(head), cells), body


def _kept(columns: Sequence[Column], wanted: Sequence[int], room: int) -> list[int]:
    """Columns that fit: the least important go first, then a growing one shrinks."""
    kept = list(range(len(columns)))
    needed = [
        min(column.least, cells) if column.grows else cells for column, cells in zip(columns, wanted, strict=True)
    ]
    while len(kept) > 1 and sum(needed[number] for number in kept) + GAP * (len(kept) - 1) > room:
        kept.remove(min(kept, key=lambda number: (columns[number].keep, -number)))
    return kept


def _aligned(cell: Line, cells: int, align: str) -> Line:
    taken = width(cell)
    if taken < cells and align == "right":
        return ((" " * (cells - taken), ""), *cell)
    return fit_line(cell, cells)


def _line(cell: Cell) -> Line:
    if isinstance(cell, str):
        return ((cell, ""),) if cell else ()
    if cell and isinstance(cell[0], str):
        return (cell,)
    return cell
