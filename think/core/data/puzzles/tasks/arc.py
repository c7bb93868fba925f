"""Grids in the public format of ARC: examples of a rule, and an input to which it is to be applied.

One JSON file a task: {"train": [{"input": grid, "output": grid}, …], "test": […]}; a grid is a list of rows of 0 to 9.
Each test input is a puzzle. The answer says the rows and the columns of its grid, then its cells row by row, each row
closed by a mark and the grid by another.

Two tasks are one when they differ by the names of the colours and by a rotation or reflection of all their grids.
"""

import json
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from think.core.data.puzzles import Integers, Position, Puzzle, Split, Task
from think.core.data.puzzles.hashing import below, words
from think.core.data.sources.text import files
from think.core.durable import sha256_of
from think.core.errors import BadData
from think.presets.base import Settings as Base
from think.presets.base import knob

LARGEST = 30
"Most rows and columns of a grid."

COLOURS = "0123456789"
ROWS = "".join(chr(0x100 + number) for number in range(1, LARGEST + 1))
COLUMNS = "".join(chr(0x120 + number) for number in range(1, LARGEST + 1))
EXAMPLE, INPUT, OUTPUT, TEST, ROW_END, GRID_END = "EIOT/."

ACTIONS = COLOURS + ROWS + COLUMNS + ROW_END + GRID_END
NAMES = (
    *COLOURS,
    *(f"{number} rows" for number in range(1, LARGEST + 1)),
    *(f"{number} columns" for number in range(1, LARGEST + 1)),
    "end of row",
    "end of grid",
)

_ROW_ACTIONS = tuple(range(10, 10 + LARGEST))
_COLUMN_ACTIONS = tuple(range(10 + LARGEST, 10 + 2 * LARGEST))

Cells = tuple[tuple[int, ...], ...]


class Settings(Base):
    """Tasks of a local folder."""

    kind: Literal["arc"] = "arc"
    path: str = knob(acts_on="data")
    "folder of JSON files, or one of them"


class Drawing(Position):
    """What is drawn so far: at most rows, columns and cells with their marks."""

    def __init__(self, answer: str, text: str = ""):
        self._answer, self._text = answer, text

    def legal(self) -> tuple[int, ...]:
        if len(self._text) < 2:
            return (_ROW_ACTIONS, _COLUMN_ACTIONS)[len(self._text)]
        rows, columns = ROWS.index(self._text[0]) + 1, COLUMNS.index(self._text[1]) + 1
        line, place = divmod(len(self._text) - 2, columns + 1)
        if line == rows:
            return () if place else (ACTIONS.index(GRID_END),)
        return (ACTIONS.index(ROW_END),) if place == columns else tuple(range(len(COLOURS)))

    def play(self, action: int) -> "Drawing":
        return Drawing(self._answer, self._text + ACTIONS[action])

    @property
    def solved(self) -> bool:
        return self._text == self._answer


class Pair(Puzzle):
    """Examples, and one test input with its output."""

    name: str
    examples: tuple[tuple[Cells, Cells], ...]
    input: Cells
    output: Cells

    def prompt(self) -> str:
        shown = (f"{EXAMPLE}{INPUT}{_text(one)}{OUTPUT}{_text(other)}" for one, other in self.examples)
        return f"{''.join(shown)}{TEST}{INPUT}{_text(self.input)}{OUTPUT}"

    def start(self) -> Drawing:
        return Drawing(_text(self.output))

    def gold(self, random: Random) -> str:
        return _text(self.output)

    def canonical(self) -> str:
        grids = [np.array(grid) for pair in self.examples for grid in pair] + [np.array(self.input)]
        seen = []
        for turned in (False, True):
            for turns in range(4):
                moved = [np.rot90(grid.T if turned else grid, turns) for grid in grids]
                names: dict[int, int] = {}
                named = [[[names.setdefault(int(cell), len(names)) for cell in row] for row in grid] for grid in moved]
                seen.append(json.dumps(named, separators=(",", ":")))
        return min(seen)

    def flaw(self) -> str | None:
        if not self.examples:
            return "it has no examples"
        for grid in (*(grid for pair in self.examples for grid in pair), self.input, self.output):
            if not 1 <= len(grid) <= LARGEST or not 1 <= len(grid[0]) <= LARGEST:
                return f"a grid has not 1 to {LARGEST} rows and columns"
            if len({len(row) for row in grid}) > 1:
                return "the rows of a grid differ in length"
            if any(not 0 <= cell <= 9 for row in grid for cell in row):
                return "a cell is not one of the colours 0 to 9"
        return None

    def shown(self) -> str:
        return f"{self.name}: {len(self.examples)} examples, input of {len(self.input)} x {len(self.input[0])}"


def _text(grid: Cells) -> str:
    body = "".join("".join(map(str, row)) + ROW_END for row in grid)
    return f"{ROWS[len(grid) - 1]}{COLUMNS[len(grid[0]) - 1]}{body}{GRID_END}"


def pairs_of(path: Path) -> list[Pair]:
    """The puzzles of one file. Raises BadData that says what is wrong with it."""
    expected = '{"train": [{"input": [[0, …], …], "output": …}, …], "test": […]}'
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
        shown = [{"input": pair["input"], "output": pair["output"]} for pair in held["train"]]
        asked = [{"input": pair["input"], "output": pair["output"]} for pair in held["test"]]
        made = [
            Pair.model_validate_json(
                json.dumps(
                    {
                        "name": path.stem if len(asked) == 1 else f"{path.stem}.{number}",
                        "examples": [[pair["input"], pair["output"]] for pair in shown],
                        **pair,
                    }
                )
            )
            for number, pair in enumerate(asked)
        ]
    except KeyError as error:
        raise BadData(f"there is no {error} in it", where=str(path), expected=expected) from error
    except (ValueError, TypeError, AttributeError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BadData(f"this is no task: {what}", where=str(path), expected=expected) from error
    for pair in made:
        if flaw := pair.flaw():
            raise BadData(flaw, where=str(path), expected=expected, remedy="repair or remove this file")
    return made


@lru_cache(maxsize=4)
def _read(path: str, digests: tuple[str, ...]) -> dict[Split, tuple[Pair, ...]]:
    found: dict[Split, dict[str, Pair]] = {"train": {}, "validation": {}, "test": {}}
    for file in files(Path(path), (".json",)):
        for pair in pairs_of(file):
            found[pair.split()].setdefault(pair.canonical(), pair)
    return {split: tuple(known.values()) for split, known in found.items()}


def pairs(settings: Settings, split: Split) -> tuple[Pair, ...]:
    """The puzzles of a split."""
    return _read(settings.path, tuple(sha256_of(file) for file in files(Path(settings.path), (".json",))))[split]


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Pair]:
    """The puzzle of each seed. Raises BadData when the split is empty."""
    every = pairs(settings, split)
    if not every:
        raise BadData(f"no puzzle belongs to the {split} split", where=settings.path, expected="more tasks")
    return [every[place] for place in below(words(seeds, 1, stream=0)[:, 0], len(every)).tolist()]


def origins(settings: Settings) -> tuple[str, ...]:
    return tuple(str(file) for file in files(Path(settings.path), (".json",)))


def chance(settings: Settings) -> float:
    """A grid of one cell: its rows, its columns, its colour; any larger one is harder to hit."""
    return 1 / (LARGEST * LARGEST * len(COLOURS))


SPEC = Task(Settings, Pair, ACTIONS, NAMES, draw, chance, origins=origins)
