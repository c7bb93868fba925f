"""Everything that can be made of four numbers: for all sets of numbers at once, as one table.

S sets of numbers  W ways, each three actions  B batch
"""

from functools import cache, lru_cache
from itertools import combinations

import numpy as np

from think.core.data.puzzles import Bools, Integers, Split, split_of
from think.core.data.puzzles.hashing import folded

PLACES = 4
LARGEST = 20
LOWEST_TARGET, HIGHEST_TARGET = 10, 100
OPERATIONS = "+-×/"
PAIRS = tuple(combinations(range(PLACES), 2))
FIRST = np.array([first for first, _ in PAIRS for _ in OPERATIONS])
SECOND = np.array([second for _, second in PAIRS for _ in OPERATIONS])


def combined(one: Integers, other: Integers, operation: Integers) -> Integers:
    """The results of operations; 0 where a number is missing (0) or the result would not be whole and positive."""
    larger, smaller = np.maximum(one, other), np.minimum(one, other)
    there = smaller > 0
    quotient, rest = np.divmod(larger, np.where(there, smaller, 1))
    by = (larger + smaller, larger - smaller, larger * smaller, np.where(rest == 0, quotient, 0))
    result: Integers = np.choose(operation, by) * there
    return result


def results(values: Integers) -> Integers:
    """[B, places] -> [B, actions] the result of every action, 0 where it is not legal."""
    one, other = values[:, FIRST[:: len(OPERATIONS)]], values[:, SECOND[:: len(OPERATIONS)]]
    larger, smaller = np.maximum(one, other), np.minimum(one, other)
    there = smaller > 0
    quotient = larger // np.where(there, smaller, 1)
    by = (larger + smaller, larger - smaller, larger * smaller, quotient * (quotient * smaller == larger))
    found: Integers = (np.stack(by, axis=2) * there[:, :, None]).reshape(len(values), -1)
    return found


@cache
def ways() -> Integers:
    """[W, 3] every sequence of actions that three combinations could be, legal or not for the numbers at hand."""
    found = []

    def go_on(taken: tuple[int, ...], gone: frozenset[int]) -> None:
        if len(taken) == PLACES - 1:
            found.append(taken)
            return
        for action in range(len(FIRST)):
            if not gone & {int(FIRST[action]), int(SECOND[action])}:
                go_on((*taken, action), gone | {int(SECOND[action])})

    go_on((), frozenset())
    return np.array(found, np.int64)


def ends(numbers: Integers) -> Integers:
    """[S, places] -> [S, W] the number that each way ends with, 0 where it is not legal."""
    result = np.zeros((len(numbers), len(ways())), np.int64)
    for place, way in enumerate(ways()):
        values = [numbers[:, column] for column in range(PLACES)]
        for action in way:
            first, second = FIRST[action], SECOND[action]
            values[first] = combined(values[first], values[second], action % len(OPERATIONS))
        result[:, place] = values[FIRST[way[-1]]]
    return result


def makes(numbers: Integers, target: Integers) -> Bools:
    """[S, n], [S] -> [S] whether n positive numbers, all of them, can be combined to the target.

    Of two that are combined, the result takes the place of one. Every way is tried, so cost grows as that of a search:
    4 ways for two numbers, 48 for three, 1,152 for four, each for all rows at once.
    """
    count = numbers.shape[1]
    if count == 1:
        found: Bools = numbers[:, 0] == target
        return found
    found = np.zeros(len(numbers), np.bool_)
    for first, second in combinations(range(count), 2):
        rest = np.delete(numbers, (first, second), axis=1)
        for operation in range(len(OPERATIONS)):
            # rows that are known to be solvable need no more looking
            result = combined(numbers[:, first], numbers[:, second], np.full(len(numbers), operation))
            there = np.flatnonzero((result > 0) & ~found)
            if len(there):
                found[there] = makes(np.concatenate([rest[there], result[there, None]], axis=1), target[there])
    return found


@cache
def _sets() -> tuple[Integers, Integers]:
    """[S, places] every set of different numbers, rising, and where each way ends [S, W]."""
    numbers = np.array(list(combinations(range(1, LARGEST + 1), PLACES)), np.int64)
    return numbers, ends(numbers)


@cache
def _all() -> Integers:
    """[N, places + 1] every solvable puzzle: numbers and target."""
    numbers, ended = _sets()
    parts = []
    for target in range(LOWEST_TARGET, HIGHEST_TARGET + 1):
        solvable = numbers[(ended == target).any(axis=1)]
        parts.append(np.concatenate([solvable, np.full((len(solvable), 1), target)], axis=1))
    return np.concatenate(parts)


@cache
def puzzles(split: Split) -> Integers:
    """[N, places + 1] the solvable puzzles of a split."""
    every = _all()
    return every[[split_of(int(number)) == split for number in folded(every)]]


@cache
def _index() -> dict[tuple[int, ...], int]:
    return {tuple(row): place for place, row in enumerate(_sets()[0].tolist())}


def solutions(numbers: tuple[int, ...], target: int) -> list[tuple[int, ...]]:
    """Every sequence of actions that leads to the target."""
    known = _index().get(numbers)
    if known is not None:
        return [tuple(way) for way in ways()[_sets()[1][known] == target].tolist()]
    return [way for way, end in _searched(numbers) if end == target]


@lru_cache(maxsize=256)
def _searched(numbers: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Every legal way and its end, for numbers that stand in another order or twice."""
    found = []

    def go_on(values: tuple[int, ...], taken: tuple[int, ...]) -> None:
        if len(taken) == PLACES - 1:
            found.append((taken, max(values)))
            return
        for action, result in enumerate(results(np.array([values]))[0].tolist()):
            if result:
                first, second = FIRST[action], SECOND[action]
                left = list(values)
                left[first], left[second] = result, 0
                go_on(tuple(left), (*taken, action))

    go_on(numbers, ())
    return tuple(found)
