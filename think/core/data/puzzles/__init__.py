"""Puzzles: reasoning tasks that are solved by a sequence of actions, each exactly one token of a model.

    tasks/        one file a task: its puzzles, their exact rules, its chance level
    hashing.py    random numbers that are pure functions of a seed, many at once
    play.py       plays an answer by the rules: solved or not, and why
    items.py      different puzzles of a split, by canonical form
    batch.py      any task as a batched environment
    encoding.py   the characters of a task as tokens of a model
    records.py    puzzles in the records of `think data reasoning`, checked line by line

A puzzle is a JSON object that holds the whole instance. Its prompt is a text of characters, its answer a text in which
each character is one action; a tokenizer of characters makes each of them one token. The rules know nothing of models.

    puzzle.start() -> position;  position.legal() -> actions;  position.play(action) -> position;  position.solved

B puzzles  A actions  T characters of a prompt
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

FAMILY = f"{__name__}.tasks"

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
CodePoints = NDArray[np.uint32]


class Position(ABC):
    """A state of a puzzle between two actions. Immutable."""

    @abstractmethod
    def legal(self) -> tuple[int, ...]:
        """Indices of the actions that the rules allow here, rising; empty where the episode has ended."""

    @abstractmethod
    def play(self, action: int) -> "Position":
        """The position after a legal action."""

    @property
    @abstractmethod
    def solved(self) -> bool:
        """Whether the puzzle is solved here; True only where the episode has ended."""

    @property
    def ended(self) -> bool:
        """Whether no action is possible any more, solved or not."""
        return not self.legal()


class Puzzle(BaseModel, ABC):
    """One instance of a task, as plain JSON values; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @abstractmethod
    def prompt(self) -> str:
        """What a model reads."""

    @abstractmethod
    def start(self) -> Position:
        """The position before the first action."""

    @abstractmethod
    def gold(self, random: Random) -> str:
        """One answer that solves the puzzle, drawn from all of them; the puzzle must be sound."""

    @abstractmethod
    def canonical(self) -> str:
        """The same text for puzzles that are one and the same but for a symmetry of the task."""

    @abstractmethod
    def flaw(self) -> str | None:
        """Why this is no fair puzzle, such as that it has no solution; None when it is sound."""

    @abstractmethod
    def shown(self) -> str:
        """The puzzle as people read it."""

    def split(self) -> Split:
        """The split that the puzzle belongs to: a function of its canonical form."""
        return split_of(int.from_bytes(blake2b(self.canonical().encode(), digest_size=8).digest(), "little"))


def split_of(number: int) -> Split:
    """The split of a well mixed number: one in ten is held out for tests, one in ten for validation."""
    return "test" if number % 10 == 0 else "validation" if number % 10 == 1 else "train"


class Environment(Protocol):
    """Many puzzles of one task played side by side. Episodes that have ended stay as they are."""

    @property
    def actions(self) -> int:
        """How many actions the task has."""

    def reset(self, seeds: Integers) -> None:
        """Begin the puzzle of each seed, whatever the other seeds are."""

    def load(self, puzzles: Sequence[Any]) -> None:
        """Begin these puzzles."""

    def prompts(self) -> CodePoints:
        """The characters of all prompts [B, T]. Raises ValueError when they differ in length."""

    def legal(self) -> Bools:
        """Which actions are possible [B, A]; none in a row that has ended."""

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        """Take one legal action in each row that has not ended; gives (ended [B], solved [B])."""

    def rows(self, index: NDArray[Any]) -> "Environment":
        """Copies of some of the rows, which may repeat."""

    def put(self, index: NDArray[Any], others: Any) -> None:
        """Replace some of the rows by those of an environment of the same task, with prompts of the same length."""


P = TypeVar("P", bound=Puzzle)


@dataclass(frozen=True)
class Task:
    """The SPEC of a task.

    Settings     what can be chosen about its puzzles; every field has a default or is a path
    Puzzle       the class of its instances
    actions      one character for each action, in order of their indices
    names        the actions as people read them
    draw         (settings, split, seeds [B]) -> the puzzle of each seed; a pure function of each seed
    chance       settings -> probability that random legal play solves a puzzle; where it varies, the most it can be
    environment  (settings, split) -> batched rules; None: the scalar rules, one row after the other
    solvable     rows of that environment -> whether each is solved, or can still be [B], exactly; None: nothing tells
    origins      settings -> files that the puzzles come from
    """

    Settings: type[Any]
    Puzzle: type[Any]
    actions: str
    names: tuple[str, ...]
    draw: Callable[[Any, Split, Integers], list[Any]]
    chance: Callable[[Any], float]
    environment: Callable[[Any, Split], Environment] | None = None
    solvable: Callable[[Any], Bools] | None = None
    origins: Callable[[Any], tuple[str, ...]] = lambda settings: ()
