"""Control: random legal play, several times, of which the critic likes the end of the given one best; no policy."""

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _judged
from think.core.eval.reasoning.arms.random_legal import random_play
from think.core.eval.reasoning.player import Answers, Player


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Play `samples` times at random for each row, and judge the ends."""
    prompts = player.planned.world.opened(player.prompts(rules))
    found = random_play(rules.rows(np.repeat(np.arange(len(prompts.read)), samples)), generator)
    return _judged.best(player, prompts, found, samples)


SPEC = Arm(answer, samples=True, needs=("critic",))
