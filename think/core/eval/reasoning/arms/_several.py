"""Several answers to each puzzle, drawn from the model; the prompt is read once."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from think.core.eval.reasoning.player import Answers, Board, Player, drawn

Pick = Callable[[Sequence[tuple[int, ...]], np.ndarray], int]
"the answers to one puzzle and their log-probabilities -> which one is given"


def best(player: Player, board: Board, samples: int, generator: torch.Generator, pick: Pick) -> Answers:
    """Draw `samples` answers for each row, and give the one that is picked."""
    rows = len(board.scores)
    found = player.roll_out(board.rows(np.repeat(np.arange(rows), samples)), drawn(generator))
    chosen = []
    for row in range(rows):
        part = slice(row * samples, (row + 1) * samples)
        chosen.append(row * samples + pick(found.actions[part], found.likelihood[part]))
    return Answers([found.actions[one] for one in chosen], found.solved[chosen], found.likelihood[chosen])
