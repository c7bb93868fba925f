"""Control: the same search, in which each node is worth what some other node is, of all that were evaluated."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _exact
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.controls import shuffled_values


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search by values that belong elsewhere."""
    return _exact.played(player, rules, generator, lambda world: shuffled_values(world, generator))


SPEC = Arm(answer, searches=True, needs=("critic",))
