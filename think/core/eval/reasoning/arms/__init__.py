"""Ways of answering; each file of this folder is one, and exports `SPEC = Arm(answer)`.

Every arm gets a player, the rules of puzzles that nobody has looked at yet, and a number of samples, which it may leave
unused; it gives one answer for each row. What it computes is counted by the player and by its planner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.player import Answers, Player

FAMILY = __name__

Need = Literal["critic", "dynamics", "larger"]


@dataclass(frozen=True)
class Arm:
    """answer     (player, rules, samples, generator) -> one answer for each row
    samples    whether the number of samples has an effect
    searches   whether the settings of a search have an effect
    needs      what a player must bring beside the model: a trained critic, trained dynamics, another model
    """

    answer: Callable[[Player, Environment, int, torch.Generator], Answers]
    samples: bool = False
    searches: bool = False
    needs: tuple[Need, ...] = ()
