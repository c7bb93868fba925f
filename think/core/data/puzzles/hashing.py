"""Random numbers that are pure functions of a seed, for many seeds at once.

The mixer is splitmix64 [Steele, Lea & Flood 2014]: every bit of the result depends on every bit of the argument. What a
seed gives does not depend on the seeds beside it, so a batch of puzzles can be cut anywhere.
"""

import numpy as np
from numpy.typing import NDArray

from think.core.data.puzzles import Integers

Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: NDArray[np.uint64] | Integers) -> Words:
    """A well mixed 64-bit word for each number."""
    with np.errstate(over="ignore"):
        words = numbers.astype(np.uint64) + _GOLDEN
        words = (words ^ (words >> np.uint64(30))) * _FIRST
        words = (words ^ (words >> np.uint64(27))) * _SECOND
    result: Words = words ^ (words >> np.uint64(31))
    return result


def words(seeds: Integers, count: int, stream: int) -> Words:
    """[B, count] words for each seed; another stream gives others."""
    origin = mixed(mixed(seeds) ^ np.uint64(stream))
    with np.errstate(over="ignore"):
        steps = origin[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return mixed(steps)


def below(drawn: Words, bound: int) -> Integers:
    """Whole numbers 0 … bound - 1, uniform to within bound / 2^53."""
    return ((drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53 * bound).astype(np.int64)


def permutations(seeds: Integers, count: int, stream: int) -> Integers:
    """[B, count] a permutation of 0 … count - 1 for each seed."""
    return np.argsort(words(seeds, count, stream), axis=1, kind="stable").astype(np.int64)


def folded(numbers: Integers) -> Words:
    """[..., N] -> [...]: a word that depends on every number and on their order."""
    result = np.zeros(numbers.shape[:-1], np.uint64)
    for place in range(numbers.shape[-1]):
        result = mixed(result ^ mixed(numbers[..., place]))
    return result
