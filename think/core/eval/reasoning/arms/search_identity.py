"""Control: the same search in a world whose steps change nothing, so that it foresees nothing."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _exact
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.controls import identity


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search where all actions lead to the same."""
    return _exact.played(player, rules, generator, identity)


SPEC = Arm(answer, searches=True, needs=("critic",))
