"""Control: the same search, in which each node is worth what some other node is, of all that were evaluated."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _searched
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.controls import shuffled_values


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search by values that belong elsewhere."""
    return _searched.play(player, rules, shuffled_values(player.planned.world.world(), generator), generator)


SPEC = Arm(answer, searches=True, needs=("critic",))
