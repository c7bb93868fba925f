"""System 1: the likeliest legal action at each step."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.player import Answers, Player, likeliest


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """One walk."""
    return player.roll_out(player.begin(rules), likeliest)


SPEC = Arm(answer)
