"""All full grids of 4 x 4 Sudoku, their classes, and every puzzle with one solution.

G grids  C cells
"""

from functools import cache
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

from think.core.data.puzzles import Bools, Integers, Split

DIGITS, BOX = 4, 2
CELLS = DIGITS * DIGITS

NEIGHBOURS = tuple(
    tuple(
        other
        for other in range(CELLS)
        if other != cell
        and (
            other // DIGITS == cell // DIGITS
            or other % DIGITS == cell % DIGITS
            or (other // DIGITS // BOX, other % DIGITS // BOX) == (cell // DIGITS // BOX, cell % DIGITS // BOX)
        )
    )
    for cell in range(CELLS)
)
"For each cell the others in its row, column and box."

NEIGHBOUR_TABLE = np.array(NEIGHBOURS)

HELD_OUT: dict[Split, tuple[int, ...]] = {"test": (1, 4, 7, 10), "validation": (5,)}
"Classes of the splits by their place among the 12 in rising order; all others train."


def is_grid(cells: tuple[int, ...]) -> bool:
    """Whether no cell equals one of its neighbours and every cell holds a digit."""
    return all(1 <= digit <= DIGITS for digit in cells) and all(
        cells[cell] != cells[other] for cell in range(CELLS) for other in NEIGHBOURS[cell]
    )


@cache
def all_grids() -> Integers:
    """[288, 16] every full grid, rising."""
    rows = list(permutations(range(1, DIGITS + 1)))
    full = (sum(choice, ()) for choice in product(rows, repeat=DIGITS) if _columns_differ(choice))
    return np.array(sorted(cells for cells in full if is_grid(cells)), np.int64)


def _columns_differ(rows: tuple[tuple[int, ...], ...]) -> bool:
    return all(len(set(column)) == DIGITS for column in zip(*rows, strict=True))


@cache
def spread_grids() -> NDArray[np.float32]:
    """[64, 288] for each cell and digit whether a full grid has it there."""
    spread = all_grids()[:, :, None] == np.arange(1, DIGITS + 1)
    return np.ascontiguousarray(spread.reshape(len(spread), -1).T.astype(np.float32))


@cache
def classes() -> tuple[tuple[int, ...], ...]:
    """The 12 grids whose first row is 1234, rising: one for each class."""
    return tuple(tuple(grid) for grid in all_grids().tolist() if grid[:DIGITS] == [1, 2, 3, 4])


def class_of(grid: tuple[int, ...]) -> int:
    """The class of a full grid."""
    names = {digit: name for name, digit in enumerate(grid[:DIGITS], start=1)}
    return classes().index(tuple(names[digit] for digit in grid))


def split_of_grid(grid: tuple[int, ...]) -> Split:
    """The split to which all puzzles of a grid belong."""
    here = class_of(grid)
    return next((split for split, held in HELD_OUT.items() if here in held), "train")


def solutions(cells: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every full grid that agrees with the cells that are not 0."""
    given = np.array(cells)
    agree = ((all_grids() == given) | (given == 0)).all(axis=1)
    return [tuple(grid) for grid in all_grids()[agree].tolist()]


@cache
def puzzles(split: Split, fewest: int, most: int) -> Integers:
    """[N, 16] every puzzle with one solution, of the split's classes, as many givens as asked for, 0 where free."""
    found = []
    for grid in classes():
        if split_of_grid(grid) == split:
            for givens in range(fewest, most + 1):
                chosen = _subsets(givens)
                unique = _tells_apart(np.array(grid), chosen)
                found.append(np.where(chosen[unique], np.array(grid), 0))
    return np.concatenate(found)


@cache
def _subsets(givens: int) -> Bools:
    """[N, 16] bool, every choice of so many cells."""
    chosen = np.array(list(combinations(range(CELLS), givens)))
    table = np.zeros((len(chosen), CELLS), np.bool_)
    table[np.arange(len(chosen))[:, None], chosen] = True
    return table


def _tells_apart(grid: Integers, chosen: Bools) -> Bools:
    """Which choices of cells tell this grid from all others: each other one differs in a chosen cell."""
    others = all_grids()[(all_grids() != grid).any(axis=1)]
    differ = (others != grid).astype(np.int64)
    result: Bools = (chosen.astype(np.int64) @ differ.T > 0).all(axis=1)
    return result
