"""Several drawn answers, of which the most frequent is given; of equals the likeliest [Wang et al. 2023]."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm, _several
from think.core.eval.reasoning.player import Answers, Player


def _most_frequent(answers: Sequence[tuple[int, ...]], likelihood: np.ndarray) -> int:
    votes = Counter(answers)
    return max(range(len(answers)), key=lambda one: (votes[answers[one]], likelihood[one]))


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """The winner of a vote among `samples` answers."""
    return _several.best(player, player.begin(rules), samples, generator, _most_frequent)


SPEC = Arm(answer, samples=True)
