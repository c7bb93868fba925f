"""Arms on the same held-out puzzles: how many each solves, with intervals, and what it costs."""

import math
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
from think.core.errors import UsageError
from think.core.eval.reasoning import costs
from think.core.eval.reasoning.arms import FAMILY, Arm
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.player import Player
from think.core.models.thinking import Thinking
from think.core.statistics import Interval, mcnemar, paired_bootstrap, wilson

ROWS = 1024
"Rows that the model steps at once, samples included: enough to fill a core, few enough for its memory."

PROBE = 8
"Puzzles that an arm answers twice to find what a sample costs."


@dataclass(frozen=True)
class Measured:
    """One arm. solved [N] in the order of the puzzles; tokens, flops: for all of them; seconds of wall time.

    samples     answers or beams for each puzzle; None where the arm has not several
    parameters  weights of the parts that it had at hand
    """

    arm: str
    solved: np.ndarray
    tokens: int
    flops: int
    seconds: float
    samples: int | None = None
    parameters: dict[str, int] | None = None

    @property
    def share(self) -> Interval:
        return wilson(int(self.solved.sum()), len(self.solved))

    def as_json(self) -> dict[str, Any]:
        share, count = self.share, len(self.solved)
        return {
            "arm": self.arm,
            "samples": self.samples,
            "solved": int(self.solved.sum()),
            "count": count,
            "share": share.value,
            "low": share.low,
            "high": share.high,
            "tokens_per_puzzle": self.tokens / count,
            "flops_per_puzzle": self.flops / count,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }

    def against(self, other: "Measured") -> dict[str, Any]:
        """The same puzzles by another arm: what each alone solves, McNemar's exact p, and the difference of shares."""
        only, others = int((self.solved > other.solved).sum()), int((other.solved > self.solved).sum())
        difference = paired_bootstrap(self.solved, other.solved)
        return {
            "than": other.arm,
            "only_this": only,
            "only_that": others,
            "p": mcnemar(only, others),
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
        }


@dataclass(frozen=True)
class Exam:
    """Different puzzles of one split, and the models that are asked them.

    seed                      of the draws
    planner, latent, larger   for arms that need them
    """

    model: Thinking
    tokenizer: Tokenizer
    task: Task
    settings: Any
    split: Split
    puzzles: Sequence[Puzzle]
    seed: int
    planner: Planner | None = None
    latent: Latent | None = None
    larger: tuple[Thinking, Tokenizer] | None = None

    def measure(self, arm: str, samples: int, advance: Callable[[int], None] = lambda done: None) -> Measured:
        """Let an arm answer every puzzle; `advance` is told how many are done.

        samples: answers or beams for each puzzle, where the arm has several.
        Raises BadData for a model of another task, UsageError for an arm that lacks what it needs.
        """
        return self._measure(arm, samples, self.puzzles, advance)

    def matched(self, arm: str, flops_per_puzzle: float) -> int:
        """How many samples cost an arm at least as much as this; 1 for an arm that has not several.

        Raises UsageError where no number of them does, as where an answer is one action and only prompts are read.
        """
        if not plugins.load(FAMILY, arm).samples:
            return 1
        few = self.puzzles[:PROBE]
        one, more = (self._measure(arm, samples, few, lambda done: None).flops / len(few) for samples in (1, 5))
        if flops_per_puzzle <= one:
            return 1
        if more <= one:
            raise UsageError(
                f"further samples of {arm} cost nothing here, so no number of them costs what a search does",
                where="--match",
                expected="puzzles whose answers are several actions",
                remedy="say how many: --samples N in place of --match",
            )
        return 1 + math.ceil((flops_per_puzzle - one) / ((more - one) / 4))

    def _measure(self, arm: str, samples: int, puzzles: Sequence[Puzzle], advance: Callable[[int], None]) -> Measured:
        spec: Arm = plugins.load(FAMILY, arm)
        player = self._player(spec)
        generator = seeding.generator(self.seed, "reasoning", arm)
        solved = np.zeros(len(puzzles), np.int64)
        began = time.perf_counter()
        for part in _parts(puzzles, max(1, ROWS // (samples if spec.samples else 1))):
            rules = environment(self.task, self.settings, self.split)
            rules.load([puzzles[index] for index in part])
            solved[part] = spec.answer(player, rules, samples, generator).solved
            advance(len(part))
        seconds = time.perf_counter() - began
        return Measured(
            arm,
            solved,
            costs.tokens(player),
            costs.flops(player),
            seconds,
            samples if spec.samples else None,
            costs.parameters(player),
        )

    def _player(self, spec: Arm) -> Player:
        planner = latent = larger = None
        if "critic" in spec.needs and self.planner is not None:
            planner = self.planner.fresh()
        if "dynamics" in spec.needs and self.latent is not None:
            latent = self.latent.fresh()
        if "larger" in spec.needs and self.larger is not None:
            model, tokenizer = self.larger
            larger = Player(model, Encoding(self.task, tokenizer))
        return Player(self.model, Encoding(self.task, self.tokenizer), planner, larger, latent)


def _parts(puzzles: Sequence[Puzzle], most: int) -> Iterator[list[int]]:
    """Indices of puzzles whose prompts are of one length, at most so many at once."""

    def length(index: int) -> int:
        return len(puzzles[index].prompt())

    for _, group in groupby(sorted(range(len(puzzles)), key=length), key=length):
        same = list(group)
        yield from (same[start : start + most] for start in range(0, len(same), most))
