"""Ways of answering; each file of this folder is one, and exports `SPEC = Arm(answer)`.

Every arm gets the same board, with the prompts read, and a number of samples, which it may leave unused; it gives one
answer for each row. What it costs is counted by the player.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from think.core.eval.reasoning.player import Answers, Board, Player

FAMILY = __name__


@dataclass(frozen=True)
class Arm:
    """answer     (player, board, samples, generator) -> one answer for each row
    samples    whether the number of samples has an effect
    """

    answer: Callable[[Player, Board, int, torch.Generator], Answers]
    samples: bool = False
