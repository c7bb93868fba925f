"""Different puzzles of a split: no two with one canonical form."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from think.core.data.puzzles import Puzzle, Split, Task
from think.core.errors import BadData

SMALLEST_BLOCK, LARGEST_BLOCK = 16, 1024
"Puzzles drawn at once: few at first, since drawing one may be slow, then more, since many at once are faster."

FRUITLESS = 16_384
"Draws without any new puzzle before we say that there are no more."

SEED_STRIDE = 1 << 40
"Seeds of one stream; streams of different seeds never meet."


def stream(task: Task, settings: Any, split: Split, seed: int) -> Iterator[Puzzle]:
    """Puzzles without end, drawn with replacement."""
    start, block = seed * SEED_STRIDE, SMALLEST_BLOCK
    while True:
        yield from task.draw(settings, split, np.arange(start, start + block, dtype=np.int64))
        start, block = start + block, min(2 * block, LARGEST_BLOCK)


def distinct(task: Task, settings: Any, split: Split, count: int, seed: int) -> list[Puzzle]:
    """`count` puzzles of different canonical form. Raises BadData when the split has fewer."""
    found: dict[str, Puzzle] = {}
    since = 0
    for puzzle in stream(task, settings, split, seed):
        if len(found) == count:
            break
        before = len(found)
        found.setdefault(puzzle.canonical(), puzzle)
        since = 0 if len(found) > before else since + 1
        if since > FRUITLESS:
            raise BadData(
                f"{FRUITLESS:,} draws gave no new puzzle of the {split} split; {len(found)} of {count} were found",
                where=str(settings.kind),
                expected=f"at most {len(found)}",
            )
    return list(found.values())
