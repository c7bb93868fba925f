"""System 1: the likeliest legal action at each step."""

import torch

from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.player import Answers, Board, Player, likeliest


def answer(player: Player, board: Board, samples: int, generator: torch.Generator) -> Answers:
    """One walk."""
    return player.roll_out(board, likeliest)


SPEC = Arm(answer)
