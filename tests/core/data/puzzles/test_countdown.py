"""Countdown against a search written here, and the base rates of the task."""

from fractions import Fraction
from itertools import combinations
from random import Random

import numpy as np
import pytest

from think.core.data.puzzles.play import judge
from think.core.data.puzzles.tasks import _countdown_table as table
from think.core.data.puzzles.tasks.countdown import ACTIONS, NAMES, SPEC, ZERO, Combination, Combinations, Settings


def _reachable(values: tuple[Fraction, ...]) -> set[Fraction]:
    """Every number that some order of combining all values gives, by exact fractions."""
    if len(values) == 1:
        return {values[0]}
    found: set[Fraction] = set()
    for i, j in combinations(range(len(values)), 2):
        rest = tuple(value for k, value in enumerate(values) if k not in (i, j))
        high, low = max(values[i], values[j]), min(values[i], values[j])
        for result in (high + low, high - low, high * low, high / low):
            if result > 0 and result.denominator == 1:
                found |= _reachable((*rest, result))
    return found


def test_solvable_is_what_a_search_reaches() -> None:
    random = Random(0)
    for _ in range(12):
        numbers = tuple(random.choices(range(1, 21), k=4))
        reached = _reachable(tuple(map(Fraction, numbers)))
        for target in range(10, 101):
            assert (Combination(numbers=numbers, target=target).flaw() is None) == (target in reached)
        targets = np.arange(10, 101)
        made = table.makes(np.tile(np.array(numbers), (len(targets), 1)), targets)
        assert made.tolist() == [target in reached for target in targets.tolist()]
        rising = tuple(sorted(numbers))
        assert {end for end in table.ends(np.array([rising]))[0].tolist() if end} == set(reached)


def test_every_solution_of_the_table_is_one_by_arithmetic() -> None:
    puzzle = SPEC.draw(Settings(), "train", np.array([3]))[0]
    ways = table.solutions(puzzle.numbers, puzzle.target)
    assert ways
    for way in ways:
        values: list[int | None] = list(puzzle.numbers)
        for action in way:
            name = NAMES[action]
            first, second = int(name[0]) - 1, int(name[2]) - 1
            one, other = sorted((values[first] or 0, values[second] or 0), reverse=True)
            result = {"+": one + other, "-": one - other, "×": one * other, "/": Fraction(one, other)}[name[1]]
            assert result == int(result) > 0
            values[first], values[second] = int(result), None
        assert [value for value in values if value is not None] == [puzzle.target]
        assert judge(puzzle, _told(puzzle.numbers, way), ACTIONS).solved


def _told(numbers: tuple[int, ...], way: tuple[int, ...]) -> str:
    """An answer: letters of the operations, each with the number that comes out, by arithmetic of its own."""
    values, answer = [Fraction(number) for number in numbers], ""
    for action in way:
        first, operation, second = NAMES[action]
        one, other = values[int(first) - 1], values[int(second) - 1]
        high, low = max(one, other), min(one, other)
        values[int(first) - 1] = {"+": high + low, "-": high - low, "×": high * low, "/": high / low}[operation]
        number = int(values[int(first) - 1])
        answer += ACTIONS[action] + chr(ZERO + (number if number <= 100 else 0))
    return answer


def test_a_number_said_wrong_breaks_the_rules() -> None:
    puzzle = SPEC.draw(Settings(), "train", np.array([3]))[0]
    told = _told(puzzle.numbers, table.solutions(puzzle.numbers, puzzle.target)[0])
    wrong = told[0] + chr(ord(told[1]) + 1) + told[2:]
    assert judge(puzzle, told, ACTIONS).solved
    assert "action 2" in judge(puzzle, wrong, ACTIONS).reason


def test_nothing_that_is_legal_tells_the_target() -> None:
    """What is legal is the same whatever the target: an operation, its number, and after the third nothing."""
    seen = []
    for target in (24, 25):
        position = Combination(numbers=(3, 5, 7, 9), target=target).start()
        legal = []
        while not position.ended:
            legal.append(position.legal())
            position = position.play(position.legal()[0])
        seen.append(legal)
    assert seen[0] == seen[1]
    assert [len(actions) == 1 for actions in seen[0]] == [False, True] * 3


def test_numbers_beyond_the_largest_target_are_said_alike() -> None:
    position = Combination(numbers=(20, 19, 7, 9), target=24).start().play(NAMES.index("1×2"))
    assert [NAMES[action] for action in position.legal()] == ["= more"]


def test_solutions_do_not_depend_on_the_order_of_the_numbers() -> None:
    counts = {len(table.solutions(numbers, 24)) for numbers in ((3, 5, 7, 9), (9, 5, 3, 7), (7, 9, 5, 3))}
    assert len(counts) == 1
    assert counts != {0}


def test_base_rates() -> None:
    """48 % solvable, 19.5 actions, 17 % of first actions good."""
    numbers = np.array(list(combinations(range(1, 21), 4)))
    solvable = sum(len(table.puzzles(split)) for split in ("train", "validation", "test"))
    assert solvable / (len(numbers) * 91) == pytest.approx(0.48, abs=0.001)
    puzzles = SPEC.draw(Settings(), "test", np.arange(2000))
    rules = Combinations(Settings(), "test")
    rules.load(puzzles)
    branching = rules.legal().sum(axis=1)
    assert branching.mean() == pytest.approx(19.5, abs=0.1)
    good = [
        len({way[0] for way in table.solutions(puzzle.numbers, puzzle.target)}) / branching[row]
        for row, puzzle in enumerate(puzzles[:300])
    ]
    assert np.mean(good) == pytest.approx(0.17, abs=0.03)


@pytest.mark.parametrize(
    ("numbers", "target", "says"),
    [
        ((1, 1, 1, 1), 100, "no way leads from 1, 1, 1, 1 to 100"),
        ((1, 2, 3), 20, "4 numbers"),
        ((1, 2, 3, 21), 20, "1 to 20"),
        ((1, 2, 3, 4), 9, "target 9"),
    ],
)
def test_unfair_puzzles_say_why(numbers: tuple[int, ...], target: int, says: str) -> None:
    assert says in (Combination(numbers=numbers, target=target).flaw() or "")


def test_a_symmetric_puzzle_is_the_same_one() -> None:
    one, other = Combination(numbers=(3, 5, 7, 9), target=24), Combination(numbers=(9, 7, 5, 3), target=24)
    assert one.canonical() == other.canonical()
    assert one.split() == other.split()
    assert one.canonical() != Combination(numbers=(3, 5, 7, 9), target=25).canonical()
