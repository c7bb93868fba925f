"""Several drawn answers, of which the one that the model itself finds likeliest is given."""

from collections.abc import Sequence

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _several
from think.core.eval.reasoning.player import Answers, Player


def _likeliest(answers: Sequence[tuple[int, ...]], likelihood: np.ndarray) -> int:
    return int(likelihood.argmax())


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """The likeliest of `samples` answers."""
    return _several.best(player, player.begin(rules), samples, generator, _likeliest)


SPEC = Arm(answer, samples=True)
