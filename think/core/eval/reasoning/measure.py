"""Arms on the same held-out puzzles: how many each solves, with intervals, and what it costs."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from think.core import plugins, seeding
from think.core.data.puzzles import Puzzle, Split, Task
from think.core.data.puzzles.batch import environment
from think.core.data.puzzles.encoding import Encoding
from think.core.data.tokenizer import Tokenizer
from think.core.eval.reasoning.arms import FAMILY, Arm
from think.core.eval.reasoning.player import Player
from think.core.models.count import flops_per_token
from think.core.models.thinking import Thinking
from think.core.statistics import Interval, mcnemar, wilson

ROWS = 1024
"Rows that the model steps at once, samples included: enough to fill a core, few enough for its memory."

FORWARD = 3
"A forward pass is a third of what training a token costs."


@dataclass(frozen=True)
class Measured:
    """One arm. solved [N] in the order of the puzzles; tokens: model tokens for all of them; seconds of wall time."""

    arm: str
    solved: np.ndarray
    tokens: int
    flops: int
    seconds: float

    @property
    def share(self) -> Interval:
        return wilson(int(self.solved.sum()), len(self.solved))

    def as_json(self) -> dict[str, Any]:
        share, count = self.share, len(self.solved)
        return {
            "arm": self.arm,
            "solved": int(self.solved.sum()),
            "count": count,
            "share": share.value,
            "low": share.low,
            "high": share.high,
            "tokens_per_puzzle": self.tokens / count,
            "flops_per_puzzle": self.flops / count,
            "seconds": self.seconds,
        }

    def against(self, other: "Measured") -> dict[str, Any]:
        """The same puzzles by another arm: what each alone solves, and McNemar's exact p."""
        only, others = int((self.solved > other.solved).sum()), int((other.solved > self.solved).sum())
        return {"than": other.arm, "only_this": only, "only_that": others, "p": mcnemar(only, others)}


def measure(
    arm: str,
    model: Thinking,
    tokenizer: Tokenizer,
    task: Task,
    settings: Any,
    split: Split,
    puzzles: Sequence[Puzzle],
    *,
    samples: int,
    seed: int,
    advance: Callable[[int], None],
) -> Measured:
    """Let an arm answer every puzzle; `advance` is told how many are done. Raises BadData for a model of another task.

    samples: answers or beams for each puzzle, where the arm has several. seed: of its draws.
    """
    spec: Arm = plugins.load(FAMILY, arm)
    player = Player(model, Encoding(task, tokenizer))
    generator = seeding.generator(seed, "reasoning", arm)
    solved = np.zeros(len(puzzles), np.int64)
    began = time.perf_counter()
    for part in _parts(puzzles, max(1, ROWS // (samples if spec.samples else 1))):
        rules = environment(task, settings, split)
        rules.load([puzzles[index] for index in part])
        solved[part] = spec.answer(player, player.begin(rules), samples, generator).solved
        advance(len(part))
    seconds = time.perf_counter() - began
    tokens = player.tokens if arm != "random_legal" else 0
    flops = tokens * flops_per_token(model.settings, 1) // FORWARD
    return Measured(arm, solved, tokens, flops, seconds)


def _parts(puzzles: Sequence[Puzzle], most: int) -> Iterator[list[int]]:
    """Indices of puzzles whose prompts are of one length, at most so many at once."""

    def length(index: int) -> int:
        return len(puzzles[index].prompt())

    for _, group in groupby(sorted(range(len(puzzles)), key=length), key=length):
        same = list(group)
        yield from (same[start : start + most] for start in range(0, len(same), most))
