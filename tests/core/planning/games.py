"""Tiny models that know a task, and the puzzles that prompts tell."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from tests.core.models.examples import model
from think.core import plugins
from think.core.data.puzzles import FAMILY, Puzzle, Task
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.tasks.countdown import ZERO, Combination
from think.core.data.puzzles.tasks.path_star import Star
from think.core.data.puzzles.tasks.sudoku4 import Sudoku
from think.core.data.tokenizer import CharacterSettings, Tokenizer, train
from think.core.models.thinking import Thinking
from think.core.planning.trajectories import Play

ALL = "".join(chr(ZERO + number) for number in range(101)) + "/.,"


def _star(text: str) -> Puzzle:
    edges, ends = text.split("/")
    return Star(edges=tuple(edges.split(",")), start_node=ends[0], goal=ends[1])


def _combination(text: str) -> Puzzle:
    *numbers, target = (ord(character) - ZERO for character in text)
    return Combination(numbers=tuple(numbers), target=target)


PUZZLES: dict[str, Callable[[str], Puzzle]] = {
    "path_star": _star,
    "countdown": _combination,
    "sudoku4": lambda text: Sudoku(cells=text.replace("/", "")),
}
"The puzzle of a prompt."


@cache
def known(name: str) -> tuple[Task, Tokenizer, Thinking]:
    """A task, a tokenizer of its characters and a model that was never trained."""
    task: Task = plugins.load(FAMILY, name)
    tokenizer = train(CharacterSettings(), [task.actions + ALL])
    made = model("rwkv6", vocabulary=tokenizer.size).eval()
    with torch.no_grad():
        made.head.weight.mul_(5)  # so that it has preferences
    return task, tokenizer, made


def play(name: str, split: Any = "train", targets: Any = "solvable", **settings: Any) -> Play:
    """Games of a task by its tiny model."""
    task, tokenizer, made = known(name)
    return Play(made, Encoding(task, tokenizer), task, task.Settings(**settings), split, targets)


def puzzle(name: str, tokens: torch.Tensor) -> Puzzle:
    """What a prompt asks."""
    return PUZZLES[name](known(name)[1].decode(tokens[2:-2].tolist()))
