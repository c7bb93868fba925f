"""Pointer chase: follow a table k times. The table is one cycle through all its names, so no name is its own answer.

The answer is one action, so a model has to take the k steps inside itself: the task measures depth. With 16 names and
fewer than 16 steps the answer is never the name one starts from, and every other name is equally likely.
"""

from random import Random
from string import ascii_uppercase
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from think.core.data.puzzles import Integers, Position, Puzzle, Split, Task, split_of
from think.core.data.puzzles.hashing import Words, below, folded, permutations, words
from think.presets.base import Settings as Base
from think.presets.base import knob

ALPHABET = ascii_uppercase[:16]
HOPS = "123456789abcdef"
"How often to follow the table, as one character."


class Settings(Base):
    """Tables of 16 names."""

    kind: Literal["pointer_chase"] = "pointer_chase"
    fewest: Annotated[int, Field(ge=1, le=len(HOPS))] = knob(1, acts_on="data")
    "least number of steps asked for"
    most: Annotated[int, Field(ge=1, le=len(HOPS))] = knob(8, acts_on="data")
    "largest number of steps asked for"

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.fewest > self.most:
            raise ValueError(f"fewest = {self.fewest} is more than most = {self.most}")
        return self


class Guess(Position):
    """Before the answer, or after it."""

    def __init__(self, answer: str, said: str | None = None):
        self._answer, self._said = answer, said

    def legal(self) -> tuple[int, ...]:
        return tuple(range(len(ALPHABET))) if self._said is None else ()

    def play(self, action: int) -> "Guess":
        return Guess(self._answer, ALPHABET[action])

    @property
    def solved(self) -> bool:
        return self._said == self._answer


class Chase(Puzzle):
    """Entries of the table, `from` and `to` name by name, where to start and how many steps to take."""

    table: tuple[str, ...]
    first: str
    hops: int

    def prompt(self) -> str:
        return ",".join(self.table) + "/" + self.first + HOPS[self.hops - 1]

    def start(self) -> Guess:
        return Guess(self._end())

    def gold(self, random: Random) -> str:
        return self._end()

    def canonical(self) -> str:
        return f"{' '.join(sorted(self.table))} {self.first} {self.hops}"

    def flaw(self) -> str | None:
        names = sorted(entry[:1] for entry in self.table)
        if names != list(ALPHABET) or any(len(entry) != 2 for entry in self.table) or self.first not in names:
            return "the table has not one entry for each of the names A to P"
        if not 1 <= self.hops <= len(HOPS):
            return f"{self.hops} steps are not 1 to {len(HOPS)}"
        following, seen = self._following(), 1
        node = following[self.first]
        while node != self.first and node in following and seen <= len(following):
            node, seen = following[node], seen + 1
        return None if seen == len(following) else "the table is not one cycle through all names"

    def shown(self) -> str:
        return f"{' '.join(self.table)}   {self.hops} steps from {self.first}"

    def split(self) -> Split:
        following = np.array([[ALPHABET.index(self._following()[name]) for name in ALPHABET]], np.int64)
        first = np.array([ALPHABET.index(self.first)], np.int64)
        return split_of(int(_digest(following, first, np.array([self.hops], np.int64))[0]))

    def _following(self) -> dict[str, str]:
        return {entry[0]: entry[1] for entry in self.table}

    def _end(self) -> str:
        following, node = self._following(), self.first
        for _ in range(self.hops):
            node = following[node]
        return node


def _digest(following: Integers, first: Integers, hops: Integers) -> Words:
    return folded(np.concatenate([following, first[:, None], hops[:, None]], axis=1))


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Chase]:
    """The table of each seed."""
    found: dict[int, Chase] = {}
    left, attempt = np.arange(len(seeds)), 0
    while len(left):
        cycle = permutations(seeds[left], len(ALPHABET), stream=3 * attempt)
        order = permutations(seeds[left], len(ALPHABET), stream=3 * attempt + 1)
        hops = settings.fewest + below(
            words(seeds[left], 1, 3 * attempt + 2)[:, 0], settings.most - settings.fewest + 1
        )
        following = np.empty_like(cycle)
        np.put_along_axis(following, cycle, np.roll(cycle, -1, axis=1), axis=1)
        kept = [split_of(int(word)) == split for word in _digest(following, cycle[:, 0], hops)]
        for place in np.flatnonzero(kept):
            found[int(left[place])] = Chase(
                table=tuple(ALPHABET[name] + ALPHABET[following[place, name]] for name in order[place]),
                first=ALPHABET[cycle[place, 0]],
                hops=int(hops[place]),
            )
        left, attempt = left[~np.array(kept, np.bool_)], attempt + 1
    return [found[row] for row in range(len(seeds))]


SPEC = Task(Settings, Chase, ALPHABET, tuple(ALPHABET), draw, lambda settings: 1 / len(ALPHABET))
