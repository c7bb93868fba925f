"""Sudoku: grids, classes, uniqueness by backtracking, and the base rates of random legal play."""

import numpy as np
import pytest

from think.core.data.puzzles import SPLITS
from think.core.data.puzzles.tasks import _sudoku4_grids as grids
from think.core.data.puzzles.tasks.sudoku4 import CHANCES, SPEC, Grids, Settings, Sudoku
from think.core.statistics import wilson


def _count(cells: list[int]) -> int:
    """Solutions by backtracking."""
    if 0 not in cells:
        return 1
    place = cells.index(0)
    row, column = divmod(place, 4)
    total = 0
    for digit in range(1, 5):
        clash = any(
            cells[r * 4 + c] == digit
            for r in range(4)
            for c in range(4)
            if r == row or c == column or (r // 2, c // 2) == (row // 2, column // 2)
        )
        if not clash:
            total += _count([*cells[:place], digit, *cells[place + 1 :]])
    return total


def test_there_are_288_grids_in_12_classes() -> None:
    assert len(grids.all_grids()) == 288
    sizes = np.bincount([grids.class_of(tuple(grid)) for grid in grids.all_grids().tolist()])
    assert sizes.tolist() == [24] * 12


def test_every_puzzle_has_one_solution() -> None:
    for puzzle in SPEC.draw(Settings(), "train", np.arange(40)):
        assert _count([0 if cell == "." else int(cell) for cell in puzzle.cells]) == 1
        assert 4 <= sum(cell != "." for cell in puzzle.cells) <= 5


def test_no_class_of_grids_is_in_two_splits() -> None:
    seen = {}
    for split in SPLITS:
        drawn = SPEC.draw(Settings(), split, np.arange(500))
        solved = {grids.solutions(puzzle._digits())[0] for puzzle in drawn}
        seen[split] = {grids.class_of(grid) for grid in solved}
    assert [len(seen[split]) for split in SPLITS] == [7, 1, 4]
    assert len(set.union(*seen.values())) == 12


@pytest.mark.parametrize("givens", [4, 5, 6, 8])
def test_base_rates_of_random_legal_play(givens: int) -> None:
    rules = Grids(Settings(fewest=givens, most=givens), "train")
    count = 6000
    rules.reset(np.arange(count))
    random = np.random.default_rng(givens)
    solved = np.zeros(count, np.bool_)
    while (mask := rules.legal()).any():
        solved |= rules.step((random.random(mask.shape) * mask).argmax(axis=1))[1]
    found = wilson(int(solved.sum()), count, level=0.999)
    assert found.low <= CHANCES[givens] <= found.high


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("1234341221434321", "no cell is free"),
        ("1...", "16 cells"),
        ("1.............5.", "16 cells"),
        ("11..............", "no solution"),
        ("1...............", "72 solutions"),
    ],
)
def test_unfair_puzzles_say_why(cells: str, says: str) -> None:
    assert says in (Sudoku(cells=cells).flaw() or "")


def test_other_names_of_the_digits_are_the_same_puzzle() -> None:
    puzzle = SPEC.draw(Settings(), "test", np.array([5]))[0]
    renamed = Sudoku(cells=puzzle.cells.translate(str.maketrans("1234", "3142")))
    assert renamed != puzzle
    assert renamed.canonical() == puzzle.canonical()
    assert renamed.split() == puzzle.split() == "test"
