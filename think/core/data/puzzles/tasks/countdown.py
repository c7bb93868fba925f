"""Countdown: combine four numbers by + - x / until one is left, which is to be the target.

An action is a pair of places and an operation, written as one letter. The result stands at the first place of the pair,
the second is empty from then on, so an action means the same whatever was done before. Numbers stay whole and positive:
the smaller is taken from the larger, and no division leaves a rest. Every number is used.
"""

from collections.abc import Sequence
from random import Random
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from think.core.data.puzzles import Bools, CodePoints, Integers, Position, Puzzle, Split, Task, split_of
from think.core.data.puzzles.hashing import below, folded, words
from think.core.data.puzzles.tasks import _countdown_table as table
from think.core.data.puzzles.tasks._countdown_table import OPERATIONS, PAIRS, PLACES
from think.presets.base import Settings as Base

ACTIONS = ascii_lowercase[: len(PAIRS) * len(OPERATIONS)]
NAMES = tuple(f"{first + 1}{operation}{second + 1}" for first, second in PAIRS for operation in OPERATIONS)

ZERO = 0x100
"Number n is written as the character after this one by n: a letter of the block Latin Extended-A, one token each."

CHANCE = 0.0103
"Share of solvable puzzles that random legal play solves; the mean over all of them, see tests."


class Settings(Base):
    """Countdown with four different numbers of 1 to 20 and a target of 10 to 100."""

    kind: Literal["countdown"] = "countdown"


class Numbers(Position):
    """The numbers at their places; None where there is none any more."""

    def __init__(self, values: tuple[int | None, ...], target: int):
        self._values, self._target = values, target

    def legal(self) -> tuple[int, ...]:
        return tuple(action for action in range(len(ACTIONS)) if self._result(action) is not None)

    def play(self, action: int) -> "Numbers":
        first, second = PAIRS[action // len(OPERATIONS)]
        values = list(self._values)
        values[first], values[second] = self._result(action), None
        return Numbers(tuple(values), self._target)

    @property
    def solved(self) -> bool:
        return [value for value in self._values if value is not None] == [self._target]

    def _result(self, action: int) -> int | None:
        first, second = PAIRS[action // len(OPERATIONS)]
        one, other = self._values[first], self._values[second]
        if one is None or other is None:
            return None
        larger, smaller = max(one, other), min(one, other)
        match OPERATIONS[action % len(OPERATIONS)]:
            case "+":
                return larger + smaller
            case "-":
                return larger - smaller or None
            case "×":
                return larger * smaller
            case _:
                return larger // smaller if larger % smaller == 0 else None


class Combination(Puzzle):
    """Numbers in the order of their places, and the target."""

    numbers: tuple[int, ...]
    target: int

    def prompt(self) -> str:
        return "".join(chr(ZERO + number) for number in (*self.numbers, self.target))

    def start(self) -> Numbers:
        return Numbers(self.numbers, self.target)

    def gold(self, random: Random) -> str:
        return "".join(ACTIONS[action] for action in random.choice(table.solutions(self.numbers, self.target)))

    def canonical(self) -> str:
        return f"{sorted(self.numbers)} {self.target}"

    def flaw(self) -> str | None:
        if len(self.numbers) != PLACES or not all(1 <= number <= table.LARGEST for number in self.numbers):
            return f"it has not {PLACES} numbers of 1 to {table.LARGEST}"
        if not table.LOWEST_TARGET <= self.target <= table.HIGHEST_TARGET:
            return f"the target {self.target} is not in {table.LOWEST_TARGET} to {table.HIGHEST_TARGET}"
        if not len(table.solutions(self.numbers, self.target)):
            return f"no way leads from {', '.join(map(str, self.numbers))} to {self.target}"
        return None

    def shown(self) -> str:
        return f"{' '.join(map(str, self.numbers))} -> {self.target}"

    def split(self) -> Split:
        return split_of(int(folded(np.array([*sorted(self.numbers), self.target], np.int64))))


def _drawn(split: Split, seeds: Integers) -> Integers:
    """[B, places + 1] numbers and target of each seed: a solvable puzzle of the split, all equally likely."""
    puzzles = table.puzzles(split)
    drawn: Integers = puzzles[below(words(seeds, 1, stream=0)[:, 0], len(puzzles))]
    return drawn


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Combination]:
    """The puzzle of each seed."""
    return [Combination(numbers=tuple(row[:-1]), target=row[-1]) for row in _drawn(split, seeds).tolist()]


class Combinations:
    """The rules for a batch. values [B, places], 0 where there is no number any more."""

    actions = len(ACTIONS)

    def __init__(self, settings: Settings, split: Split):
        self._settings, self._split = settings, split

    def reset(self, seeds: Integers) -> None:
        self._begin(_drawn(self._split, seeds))

    def load(self, puzzles: Sequence[Combination]) -> None:
        self._begin(np.array([[*puzzle.numbers, puzzle.target] for puzzle in puzzles], np.int64))

    def _begin(self, numbers: Integers) -> None:
        self._numbers, self._values, self._moves = numbers, numbers[:, :-1].copy(), np.zeros(len(numbers), np.int64)

    def prompts(self) -> CodePoints:
        return (self._numbers + ZERO).astype(np.uint32)

    def legal(self) -> Bools:
        results = table.results(self._values)
        mask: Bools = results > 0
        return mask

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        rows = np.arange(len(actions))
        going = self._moves < PLACES - 1
        first, second = table.FIRST[actions], table.SECOND[actions]
        result = table.combined(self._values[rows, first], self._values[rows, second], actions % len(OPERATIONS))
        if (going & (result == 0)).any():
            row = np.flatnonzero(going & (result == 0))[0]
            raise ValueError(f"action {actions[row]} of row {row} is not legal")
        moved = rows[going]
        self._values[moved, first[going]] = result[going]
        self._values[moved, second[going]] = 0
        self._moves += going
        ended: Bools = self._moves == PLACES - 1
        return ended, ended & (self._values.sum(axis=1) == self._numbers[:, -1])

    def solvable(self) -> Bools:
        """Whether the target is what is left, or can be made of it."""
        target, found = self._numbers[:, -1], np.zeros(len(self._numbers), np.bool_)
        for left in range(1, PLACES + 1):  # rows with as many numbers left
            rows = np.flatnonzero(PLACES - self._moves == left)
            # 0 sorts first and stands for a number that is gone
            numbers = np.sort(self._values[rows], axis=1)[:, PLACES - left :]
            found[rows] = table.makes(numbers, target[rows])
        return found

    def rows(self, index: NDArray[Any]) -> "Combinations":
        copy = Combinations(self._settings, self._split)
        copy._numbers, copy._values, copy._moves = self._numbers[index], self._values[index], self._moves[index]
        return copy

    def put(self, index: NDArray[Any], others: "Combinations") -> None:
        self._numbers[index], self._values[index] = others._numbers, others._values
        self._moves[index] = others._moves


SPEC = Task(Settings, Combination, ACTIONS, NAMES, draw, lambda settings: CHANCE, Combinations, Combinations.solvable)
