"""Play in which every choice is searched for; the model itself then takes the step that was chosen."""

from typing import Protocol, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.player import Answers


class Walk(Protocol):
    """Where the model stands in each row, and how it looks ahead from there."""

    def scores(self, legal: Bool[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """Log-probabilities of the legal actions, by the policy that is searched."""
        ...

    def choose(self, rows: Int[Tensor, " N"], legal: Bool[Tensor, "N A"]) -> Int[Tensor, " N"]:
        """The action that a search from some of the rows finds."""
        ...

    def after(self, rows: Int[Tensor, " N"], actions: Int[Tensor, " N"]) -> Self:
        """Some of the rows, each after an action."""
        ...


def play(walk: Walk, rules: Environment) -> Answers:
    """Play every row to its end, with a search wherever more than one action is legal."""
    count = len(rules.legal())
    played: list[list[int]] = [[] for _ in range(count)]
    solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
    going = np.arange(count)
    while len(going):
        legal = torch.from_numpy(rules.legal())
        actions = legal.int().argmax(1)
        choices = (legal.sum(1) > 1).nonzero().squeeze(1)
        if len(choices):
            actions[choices] = walk.choose(choices, legal[choices])
        likelihood[going] += walk.scores(legal).gather(1, actions.unsqueeze(1)).squeeze(1).numpy()
        for row, action in zip(going.tolist(), actions.tolist(), strict=True):
            played[row].append(action)
        ended, won = rules.step(actions.numpy())
        solved[going] = won
        left = np.flatnonzero(~ended)
        going = going[left]
        if len(left):
            rows = torch.from_numpy(left)
            walk, rules = walk.after(rows, actions[rows]), rules.rows(left)
    return Answers([tuple(actions) for actions in played], solved, likelihood)
