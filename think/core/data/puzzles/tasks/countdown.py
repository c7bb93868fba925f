"""Countdown: combine four numbers by + - x / until one is left, which is to be the target.

An action is a pair of places and an operation, written as one letter. The result stands at the first place of the pair,
the second is empty from then on, so an action means the same whatever was done before. Numbers stay whole and positive:
the smaller is taken from the larger, and no division leaves a rest. Every number is used.

After each operation the number that came out is said, which is an action too, of which only one is legal: the rules
do the sums. Else all three results would have to be found in one's head, and a model has fewer layers than that takes.
Whether the last number is the target nobody says.

P places, 4   O operations at one position: pairs of places × 4, 24
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

ZERO = 0x100
"Number n is written as the character after this one by n: a letter of the block Latin Extended-A, one token each."

LETTERS = ascii_lowercase[: len(PAIRS) * len(OPERATIONS)]
"The operations."

MORE, LARGEST_SAID = 0, table.HIGHEST_TARGET
"Numbers beyond those that a prompt may hold are all said alike."

SAID = tuple(range(MORE, LARGEST_SAID + 1))
ACTIONS = LETTERS + "".join(chr(ZERO + number) for number in SAID)
NAMES = (
    *(f"{first + 1}{operation}{second + 1}" for first, second in PAIRS for operation in OPERATIONS),
    *("= more" if number == MORE else f"= {number}" for number in SAID),
)

CHANCE = 0.0103
"Share of solvable puzzles that random legal play solves; the mean over all of them, see tests."


class Settings(Base):
    """Countdown with four different numbers of 1 to 20 and a target of 10 to 100."""

    kind: Literal["countdown"] = "countdown"


def said(result: int) -> int:
    """The action that says a result."""
    return len(LETTERS) + (result if result <= LARGEST_SAID else MORE)


class Numbers(Position):
    """The numbers at their places; None where there is none any more. result: what is still to be said."""

    def __init__(self, values: tuple[int | None, ...], target: int, result: int | None = None):
        self._values, self._target, self._unsaid = values, target, result

    def legal(self) -> tuple[int, ...]:
        if self._unsaid is not None:
            return (said(self._unsaid),)
        return tuple(action for action in range(len(LETTERS)) if self._result(action) is not None)

    def play(self, action: int) -> "Numbers":
        if self._unsaid is not None:
            return Numbers(self._values, self._target)
        first, second = PAIRS[action // len(OPERATIONS)]
        values, result = list(self._values), self._result(action)
        values[first], values[second] = result, None
        return Numbers(tuple(values), self._target, result)

    @property
    def solved(self) -> bool:
        return self._unsaid is None and [value for value in self._values if value is not None] == [self._target]

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
        position, answer = self.start(), ""
        for operation in random.choice(table.solutions(self.numbers, self.target)):
            position = position.play(operation)
            (number,) = position.legal()
            position, answer = position.play(number), answer + ACTIONS[operation] + ACTIONS[number]
        return answer

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
    """The rules for a batch. values [B, P], 0 where there is no number any more; unsaid [B], 0: nothing to be said."""

    actions = len(ACTIONS)

    def __init__(self, settings: Settings, split: Split):
        self._settings, self._split = settings, split

    def reset(self, seeds: Integers) -> None:
        self._begin(_drawn(self._split, seeds))

    def load(self, puzzles: Sequence[Combination]) -> None:
        self._begin(np.array([[*puzzle.numbers, puzzle.target] for puzzle in puzzles], np.int64))

    def _begin(self, numbers: Integers) -> None:
        self._numbers, self._values = numbers, numbers[:, :-1].copy()
        self._moves, self._unsaid = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.int64)

    def prompts(self) -> CodePoints:
        return (self._numbers + ZERO).astype(np.uint32)

    def legal(self) -> Bools:
        mask: Bools = np.zeros((len(self._values), len(ACTIONS)), np.bool_)
        mask[:, : len(LETTERS)] = (table.results(self._values) > 0) & (self._unsaid == 0)[:, None]
        rows = np.flatnonzero(self._unsaid)
        mask[rows, self._says()[rows]] = True
        return mask

    def _says(self) -> Integers:
        """[B] the action that says what is to be said; meaningless in other rows."""
        known: Integers = np.where(self._unsaid > LARGEST_SAID, MORE, self._unsaid)
        return known + len(LETTERS)

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        telling = self._unsaid > 0
        going = (self._moves < PLACES - 1) & ~telling
        self._operate(np.flatnonzero(going), actions)
        wrong = np.flatnonzero(telling & (actions != self._says()))
        if len(wrong):
            raise ValueError(f"action {actions[wrong[0]]} of row {wrong[0]} is not legal")
        self._unsaid[telling] = 0
        ended: Bools = (self._moves == PLACES - 1) & (self._unsaid == 0)
        return ended, ended & (self._values.sum(axis=1) == self._numbers[:, -1])

    def _operate(self, rows: Integers, actions: Integers) -> None:
        """Combine two numbers in some of the rows."""
        taken = actions[rows]
        operations = np.minimum(taken, len(LETTERS) - 1)
        first, second = table.FIRST[operations], table.SECOND[operations]
        result = table.combined(self._values[rows, first], self._values[rows, second], operations % len(OPERATIONS))
        wrong = np.flatnonzero((result == 0) | (taken >= len(LETTERS)))
        if len(wrong):
            raise ValueError(f"action {taken[wrong[0]]} of row {rows[wrong[0]]} is not legal")
        self._values[rows, first], self._values[rows, second] = result, 0
        self._moves[rows] += 1
        self._unsaid[rows] = result

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
        copy._numbers, copy._values = self._numbers[index], self._values[index]
        copy._moves, copy._unsaid = self._moves[index], self._unsaid[index]
        return copy

    def put(self, index: NDArray[Any], others: "Combinations") -> None:
        self._numbers[index], self._values[index] = others._numbers, others._values
        self._moves[index], self._unsaid[index] = others._moves, others._unsaid


SPEC = Task(Settings, Combination, ACTIONS, NAMES, draw, lambda settings: CHANCE, Combinations, Combinations.solvable)
