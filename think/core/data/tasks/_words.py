"""Word problems: after each element of a sequence, the product of all elements so far. A group's elements are numbers.

A fixed program for such a problem is a finite automaton with as many states as the group has elements; how it moves
says what a network must be able to do: commuting moves (cyclic groups) or not (S3), and moves that no tower of simpler
automata can make (S5 is not solvable).
"""

from collections.abc import Callable
from itertools import accumulate, permutations
from random import Random

from think.core.data.tasks import Prediction, Row

TRAINED = (8, 40)
"Below eight elements there are too few words of a small group to train on; forty is where others stop training."
TESTED = (40, 64, 128, 256)

POSITIVE = Prediction(
    "Mamba-2, RWKV-6 and their hybrid, decays in (0, 1)",
    "fails beyond the trained lengths: no finite-precision linear recurrence with positive eigenvalues counts modulo 2",
    "Grazzi et al. 2025",
)
ATTENTION = Prediction(
    "attention, a fixed number of layers",
    "fails beyond the trained lengths, though it fits them: constant depth is in TC0, and what it learns is position",
    "Hahn 2020; Liu et al. 2023; Merrill & Sabharwal 2023",
)


def cyclic(order: int) -> Callable[[Random, int], Row]:
    """Words over the integers modulo `order`."""
    return _words(order, lambda one, other: (one + other) % order)


def symmetric(letters: int) -> tuple[int, Callable[[Random, int], Row]]:
    """Order of the group of permutations of so many letters, and words over it: the new element acts on what was."""
    elements = list(permutations(range(letters)))
    number = {element: index for index, element in enumerate(elements)}
    table = [[number[tuple(new[old[i]] for i in range(letters))] for new in elements] for old in elements]
    return len(elements), _words(len(elements), lambda old, new: table[old][new])


def _words(order: int, product: Callable[[int, int], int]) -> Callable[[Random, int], Row]:
    def propose(random: Random, size: int) -> Row:
        word = tuple(random.choices(range(order), k=size))
        return Row(word, tuple(accumulate(word, product)), word)

    return propose
