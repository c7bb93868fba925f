"""System 1 of another run, such as one with as many parameters as backbone and critic together."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.player import Answers, Player, likeliest


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """The other model's likeliest walk."""
    other = player.other
    return other.roll_out(other.begin(rules), likeliest)


SPEC = Arm(answer, needs=("larger",))
