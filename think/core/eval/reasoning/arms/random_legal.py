"""Chance: every legal action is as likely as any other; the model is not asked."""

import numpy as np
import torch

from think.core.data.puzzles import Environment, Integers
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.player import Answers, Player


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Play the rules alone, without the model."""
    return random_play(rules, generator)


def random_play(rules: Environment, generator: torch.Generator) -> Answers:
    """Legal actions, all as likely as each other, to the end of every row."""
    count = len(rules.legal())
    played: list[list[int]] = [[] for _ in range(count)]
    solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
    while (legal := rules.legal()).any():
        drawn = torch.rand(legal.shape, generator=generator).numpy()
        actions: Integers = np.where(legal, drawn, -1.0).argmax(axis=1)
        going = legal.any(axis=1)
        for row in np.flatnonzero(going).tolist():
            played[row].append(int(actions[row]))
        likelihood -= np.log(np.maximum(legal.sum(axis=1), 1))
        solved = np.where(going, rules.step(actions)[1], solved)
    return Answers([tuple(actions) for actions in played], solved, likelihood)


SPEC = Arm(answer)
