"""Sudoku of 4 x 4: say all cells in the order of rows, so that every row, column and box holds 1 to 4 once.

A given cell has one legal digit. In a free one, a digit that stands in the row, column or box already cannot be placed,
and none can be taken back: an early wrong one ends in a cell without a legal digit. Each puzzle has one solution. The
given cells are said too, so that the n-th action always speaks of the n-th cell.

The 288 full grids fall into 12 classes of grids that differ in the names of the digits only. Splits are made of whole
classes, so a model is never tested on a grid that it was shown under other names.
"""

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from think.core.data.puzzles import Bools, CodePoints, Integers, Position, Puzzle, Split, Task
from think.core.data.puzzles.hashing import below, permutations, words
from think.core.data.puzzles.tasks import _sudoku4_grids as grids
from think.core.data.puzzles.tasks._sudoku4_grids import CELLS, DIGITS, NEIGHBOURS
from think.presets.base import Settings as Base
from think.presets.base import knob

ACTIONS = "1234"

CHANCES = {4: 0.20, 5: 0.31, 6: 0.44, 7: 0.57, 8: 0.69}
"Share of puzzles that random legal play solves, by givens; means over many, see tests."

Givens = Annotated[int, Field(ge=4, le=8)]


class Settings(Base):
    """Sudoku puzzles with few givens."""

    kind: Literal["sudoku4"] = "sudoku4"
    fewest: Givens = knob(4, acts_on="data")
    "least number of cells that are given"
    most: Givens = knob(5, acts_on="data")
    "largest number of cells that are given"

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.fewest > self.most:
            raise ValueError(f"fewest = {self.fewest} is more than most = {self.most}")
        return self


class Grid(Position):
    """Digits of the cells, 0 where a cell is free, and how many of them are said."""

    def __init__(self, cells: tuple[int, ...], said: int = 0):
        self._cells, self._said = cells, said

    def legal(self) -> tuple[int, ...]:
        if self._said == CELLS:
            return ()
        if given := self._cells[self._said]:
            return (given - 1,)
        around = {self._cells[cell] for cell in NEIGHBOURS[self._said]}
        return tuple(digit - 1 for digit in range(1, DIGITS + 1) if digit not in around)

    def play(self, action: int) -> "Grid":
        return Grid((*self._cells[: self._said], action + 1, *self._cells[self._said + 1 :]), self._said + 1)

    @property
    def solved(self) -> bool:
        return self._said == CELLS and grids.is_grid(self._cells)


class Sudoku(Puzzle):
    """The 16 cells in the order of rows, a point where one is free."""

    cells: str

    def prompt(self) -> str:
        return "/".join(self.cells[row : row + DIGITS] for row in range(0, CELLS, DIGITS))

    def start(self) -> Grid:
        return Grid(self._digits())

    def gold(self, random: Random) -> str:
        (solution,) = grids.solutions(self._digits())
        return "".join(map(str, solution))

    def canonical(self) -> str:
        """The puzzle with its digits named in the order of their appearance in the solution."""
        (solution,) = grids.solutions(self._digits())
        names = {str(digit): str(name) for name, digit in enumerate(dict.fromkeys(solution), start=1)}
        return "".join(names.get(cell, ".") for cell in self.cells)

    def flaw(self) -> str | None:
        if len(self.cells) != CELLS or set(self.cells) - set("." + ACTIONS):
            return f"it has not {CELLS} cells, each a digit of 1 to 4 or a point"
        if "." not in self.cells:
            return "no cell is free"
        number = len(grids.solutions(self._digits()))
        return None if number == 1 else "it has no solution" if number == 0 else f"it has {number} solutions, not one"

    def shown(self) -> str:
        return self.prompt()

    def split(self) -> Split:
        (solution,) = grids.solutions(self._digits())
        return grids.split_of_grid(solution)

    def _digits(self) -> tuple[int, ...]:
        return tuple(0 if cell == "." else int(cell) for cell in self.cells)


def _drawn(settings: Settings, split: Split, seeds: Integers) -> Integers:
    """[B, 16] cells of each seed: a puzzle of the split's classes, its digits under random names."""
    puzzles = grids.puzzles(split, settings.fewest, settings.most)
    chosen = puzzles[below(words(seeds, 1, stream=0)[:, 0], len(puzzles))]
    names = np.concatenate([np.zeros((len(seeds), 1), np.int64), 1 + permutations(seeds, DIGITS, stream=1)], axis=1)
    named: Integers = np.take_along_axis(names, chosen, axis=1)
    return named


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Sudoku]:
    """The puzzle of each seed."""
    rows = _drawn(settings, split, seeds).tolist()
    return [Sudoku(cells="".join(str(digit) if digit else "." for digit in row)) for row in rows]


class Grids:
    """The rules for a batch. cells [B, 16]; used [B, 16] a bit for each digit that a neighbour of a cell holds;
    place [B] how many cells are said."""

    actions = DIGITS

    def __init__(self, settings: Settings, split: Split):
        self._settings, self._split = settings, split

    def reset(self, seeds: Integers) -> None:
        self._begin(_drawn(self._settings, self._split, seeds))

    def load(self, puzzles: Sequence[Sudoku]) -> None:
        self._begin(np.array([puzzle._digits() for puzzle in puzzles], np.int64))

    def _begin(self, cells: Integers) -> None:
        self._given, self._cells = cells, cells.copy()
        bits = np.where(cells > 0, 1 << (cells - 1), 0)
        self._used = np.bitwise_or.reduce(bits[:, grids.NEIGHBOUR_TABLE], axis=2)
        self._place = np.zeros(len(cells), np.int64)
        self._find()

    def _find(self) -> None:
        """The digits that may be said at the place of each row."""
        inside = np.minimum(self._place, CELLS - 1)
        rows = np.arange(len(inside))
        given = self._given[rows, inside][:, None]
        free = (self._used[rows, inside][:, None] >> np.arange(DIGITS) & 1) == 0
        fits = np.where(given > 0, given == np.arange(1, DIGITS + 1), free)
        self._legal: Bools = fits & (self._place < CELLS)[:, None]

    def prompts(self) -> CodePoints:
        digits = np.where(self._given == 0, ord("."), self._given + ord("0")).reshape(-1, DIGITS, DIGITS)
        marks = np.full((*digits.shape[:2], 1), ord("/"))
        codes: CodePoints = np.concatenate([digits, marks], axis=2).reshape(len(digits), -1)[:, :-1].astype(np.uint32)
        return codes

    def legal(self) -> Bools:
        return self._legal.copy()

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        going = np.flatnonzero(self._legal.any(axis=1))
        digits, places = actions[going], self._place[going]
        fits = self._legal[going, digits]
        if not fits.all():
            row = going[~fits][0]
            raise ValueError(f"action {actions[row]} of row {row} is not legal")
        self._cells[going, places] = digits + 1
        self._used[going[:, None], grids.NEIGHBOUR_TABLE[places]] |= (1 << digits)[:, None]
        self._place[going] += 1
        self._find()
        ended: Bools = np.logical_not(self._legal.any(axis=1))
        # legal digits all the way to the last cell: no two neighbours are equal, which is what solved means
        return ended, ended & (self._place == CELLS)

    def solvable(self) -> Bools:
        """Whether a full grid agrees with all cells that are given or said."""
        said = (self._cells[:, :, None] == np.arange(1, DIGITS + 1)).astype(np.float32).reshape(len(self._cells), -1)
        # sums of at most 16 ones are exact, and a product of matrices is far faster than comparing with 288 grids
        agree: Bools = (said @ grids.spread_grids()).max(axis=1) == (self._cells > 0).sum(axis=1)
        return agree

    def rows(self, index: NDArray[Any]) -> "Grids":
        copy = Grids(self._settings, self._split)
        copy._given, copy._cells, copy._used = self._given[index], self._cells[index], self._used[index]
        copy._place, copy._legal = self._place[index], self._legal[index]
        return copy

    def put(self, index: NDArray[Any], others: "Grids") -> None:
        self._given[index], self._cells[index], self._used[index] = others._given, others._cells, others._used
        self._place[index], self._legal[index] = others._place, others._legal


def chance(settings: Settings) -> float:
    """Of the most givens, which are the easiest."""
    return CHANCES[settings.most]


SPEC = Task(Settings, Sudoku, ACTIONS, tuple(ACTIONS), draw, chance, Grids, Grids.solvable)
