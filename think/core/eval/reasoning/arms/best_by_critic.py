"""Several drawn answers, of which the critic likes the end of the given one best: a critic without a search."""

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _judged
from think.core.eval.reasoning.player import Answers, Player, drawn


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Draw `samples` answers for each row, and judge them."""
    prompts = player.planned.world.opened(player.prompts(rules))
    board = player.begin(rules)
    found = player.roll_out(board.rows(np.repeat(np.arange(len(prompts.read)), samples)), drawn(generator))
    return _judged.best(player, prompts, found, samples)


SPEC = Arm(answer, samples=True, needs=("critic",))
