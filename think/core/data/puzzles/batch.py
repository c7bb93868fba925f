"""Any task as a batched environment: its own, or its scalar rules one row after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from think.core.data.puzzles import Bools, CodePoints, Environment, Integers, Position, Puzzle, Split, Task


def environment(task: Task, settings: Any, split: Split) -> Environment:
    """The fastest rules that the task has; begin with `reset` or `load`."""
    return Positions(task, settings, split) if task.environment is None else task.environment(settings, split)


class Positions:
    """Scalar rules behind the interface of a batch; also the oracle that batched rules are tested with."""

    def __init__(self, task: Task, settings: Any, split: Split):
        self._task, self._settings, self._split = task, settings, split

    @property
    def actions(self) -> int:
        return len(self._task.actions)

    def reset(self, seeds: Integers) -> None:
        self.load(self._task.draw(self._settings, self._split, seeds))

    def load(self, puzzles: Sequence[Puzzle]) -> None:
        self._puzzles = list(puzzles)
        self._places: list[Position] = [puzzle.start() for puzzle in puzzles]

    def prompts(self) -> CodePoints:
        texts = [puzzle.prompt() for puzzle in self._puzzles]
        lengths = {len(text) for text in texts}
        if len(lengths) > 1:
            raise ValueError(f"prompts of {min(lengths)} to {max(lengths)} characters in one batch")
        codes: CodePoints = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").reshape(len(texts), -1)
        return codes

    def legal(self) -> Bools:
        mask = np.zeros((len(self._places), self.actions), np.bool_)
        for row, place in enumerate(self._places):
            mask[row, list(place.legal())] = True
        return mask

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        for row, place in enumerate(self._places):
            if not place.ended:
                if int(actions[row]) not in place.legal():
                    raise ValueError(f"action {actions[row]} of row {row} is not legal")
                self._places[row] = place.play(int(actions[row]))
        ended = np.array([place.ended for place in self._places], np.bool_)
        return ended, np.array([place.solved for place in self._places], np.bool_)

    def rows(self, index: NDArray[Any]) -> "Positions":
        copy = Positions(self._task, self._settings, self._split)
        chosen = np.arange(len(self._places))[index]
        copy._puzzles, copy._places = [self._puzzles[row] for row in chosen], [self._places[row] for row in chosen]
        return copy

    def put(self, index: NDArray[Any], others: "Positions") -> None:
        for row, puzzle, place in zip(index.tolist(), others._puzzles, others._places, strict=True):
            self._puzzles[row], self._places[row] = puzzle, place
