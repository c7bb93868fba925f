"""Answers before the critic: what it finds each place worth on the way, and the best of several.

N answers   K most actions of one
"""

import numpy as np
import torch
from jaxtyping import Float

from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.exact import Opened


def worth(player: Player, prompts: Opened, answers: Answers) -> Float[np.ndarray, "N K1"]:
    """What the critic gives each place of answers, nan after their ends; the answers to one prompt stand together."""
    longest = max(map(len, answers.actions))
    actions = torch.tensor([(*one, *[one[-1]] * (longest - len(one))) for one in answers.actions])
    values = player.planned.world.judge(prompts, actions)
    steps = torch.tensor([len(one) for one in answers.actions])
    after = torch.arange(longest + 1) > steps.unsqueeze(1)
    found: np.ndarray = values.masked_fill(after, torch.nan).numpy()
    return found


def at_end(values: Float[np.ndarray, "N K1"]) -> Float[np.ndarray, " N"]:
    """The last value of each answer."""
    last = (~np.isnan(values)).sum(axis=1) - 1
    found: np.ndarray = values[np.arange(len(values)), last]
    return found


def best(player: Player, prompts: Opened, answers: Answers, samples: int) -> Answers:
    """Of each `samples` answers to one prompt the one whose end the critic likes best, the first of equals."""
    values = at_end(worth(player, prompts, answers)).reshape(-1, samples)
    chosen = np.arange(len(values)) * samples + values.argmax(axis=1)
    return Answers([answers.actions[one] for one in chosen], answers.solved[chosen], answers.likelihood[chosen])
