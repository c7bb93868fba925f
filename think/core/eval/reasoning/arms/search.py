"""System 2: search with the exact world, the backbone's own step, and the trained critic."""

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _exact
from think.core.eval.reasoning.player import Answers, Player


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search at every choice."""
    return _exact.played(player, rules, generator, lambda world: world)


SPEC = Arm(answer, searches=True, needs=("critic",))
