"""Tasks with exact answers that show what an architecture can do, whatever text it may have read; one file a task.

A row is a sequence of symbols, some of them with a label: what the model has to say there. Labels stand beside the
row, never in it, so that no answer can be read off the input. The size of a row is the task's own measure of how hard
it is; models are trained on small sizes and tested on larger ones.

    SPEC = Task(family="tracking", symbols=2, propose=propose, size="bits", trained=(8, 40), tested=(40, 64, 128, 256),
                chance=lambda size: 0.5, trial="last", predictions=(...))

`propose` draws a row from a random stream and nothing else. Which split a row belongs to follows from the hash of its
canonical form, so that no test row can be a training row, whatever the seeds.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from think.core import plugins
from think.core.data.sources import GAP
from think.core.errors import BadData

FAMILY = __name__

Split = Literal["train", "test"]
Family = Literal["tracking", "recall"]

UNSCORED = -1
"The label of a symbol that asks for nothing."

SHARES = 16
"Parts of all possible rows; as many as TESTED of them are for tests alone."
TESTED = 4

ATTEMPTS = 1000
"Draws of one row before its size is given up: small sizes have few rows, and a part of them only is for each split."

_PLAIN = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BEYOND = 0x4E00
"First of more than 20,000 consecutive code points that are one visible character each."


@dataclass(frozen=True, slots=True)
class Row:
    """Symbols, their labels (UNSCORED where there is none), and what makes this row the same as another."""

    symbols: tuple[int, ...]
    labels: tuple[int, ...]
    canonical: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What theory, or somebody's measurement, says of an architecture at sizes beyond the trained ones."""

    architecture: str
    says: str
    source: str


@dataclass(frozen=True)
class Task:
    """What a task's file exports.

    family       what it is about: following a state, or finding again what was seen
    symbols      how many there are; symbols and labels are 0 to symbols - 1
    propose      a random stream and a size -> a row of that size
    size         what the size counts, in words
    trained      smallest and largest size of training, unless the data say otherwise
    tested       sizes of the test
    chance       size -> share of right answers of the best guesser that knows the task and the input's symbols, but
                 not their order
    trial        "last": the last labelled symbol of a row is scored; "all": every labelled one. Where each label can be
                 had from the one before, early ones are easy and would hide that late ones are wrong.
    predictions  shown beside results
    """

    family: Family
    symbols: int
    propose: Callable[[Random, int], Row]
    size: str
    trained: tuple[int, int]
    tested: tuple[int, ...]
    chance: Callable[[int], float]
    trial: Literal["last", "all"]
    predictions: tuple[Prediction, ...]


def load(name: str) -> Task:
    """The task in the file of this name. Raises UsageError with the nearest and all names when there is none."""
    task: Task = plugins.load(FAMILY, name)
    return task


def split_of(name: str, row: Row) -> Split:
    """Where a row belongs: a hash of what it is, and of nothing else."""
    key = f"{name} {' '.join(map(str, row.canonical))}"
    drawn = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return "test" if drawn % SHARES < TESTED else "train"


def rows(name: str, split: Split, smallest: int, largest: int, *, seed: int) -> Iterator[Row]:
    """Endless rows of one split, no two alike, sizes drawn evenly from `smallest` to `largest`.

    Equal arguments give equal rows in equal order. Raises BadData when there are no more.
    """
    task, seen = load(name), set[int]()
    random = Random(f"think task {name} {split} {smallest} {largest} {seed}")
    while True:
        for _ in range(ATTEMPTS):
            row = task.propose(random, random.randint(smallest, largest))
            if hash(row.canonical) not in seen and split_of(name, row) == split:
                break
        else:
            raise BadData(
                f"{name} has no further row of {task.size} {smallest} to {largest} for {split}; "
                f"{len(seen):,} were found",
                expected="fewer rows, or larger sizes",
            )
        seen.add(hash(row.canonical))
        yield row


def alphabet(task: Task) -> str:
    """All symbols as characters, in order."""
    return "".join(map(character, range(task.symbols)))


def character(symbol: int) -> str:
    """How a symbol is written, so that rows can be packed and looked at."""
    return _PLAIN[symbol] if symbol < len(_PLAIN) else chr(_BEYOND + symbol - len(_PLAIN))


def written(row: Row) -> tuple[str, str]:
    """A row as two texts of equal length: its symbols, and its labels with gaps."""
    labels = (GAP if label == UNSCORED else character(label) for label in row.labels)
    return "".join(map(character, row.symbols)), "".join(labels)
