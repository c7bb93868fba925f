"""Play in which every choice is searched for; the model itself then takes the step that was chosen."""

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.exact import LOGITS, Nodes
from think.core.planning.world import World


def play(player: Player, rules: Environment, world: World[Nodes], generator: torch.Generator) -> Answers:
    """Search in a world from each place where there is a choice; its nodes are those of the player's planner."""
    planner = player.planned
    nodes = planner.root(player.prompts(rules), rules)
    count = len(nodes)
    played: list[list[int]] = [[] for _ in range(count)]
    solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
    going = np.arange(count)
    while len(going):
        legal = torch.from_numpy(rules.legal())
        actions = legal.int().argmax(1)
        choices = (legal.sum(1) > 1).nonzero().squeeze(1)
        if len(choices):
            actions[choices] = planner.choose(nodes.rows(choices), world, legal[choices], generator)
        scores = nodes.parts[LOGITS].masked_fill(~legal, -torch.inf).log_softmax(1)
        likelihood[going] += scores.gather(1, actions.unsqueeze(1)).squeeze(1).numpy()
        for row, action in zip(going.tolist(), actions.tolist(), strict=True):
            played[row].append(action)
        ended, won = rules.step(actions.numpy())
        solved[going] = won
        left = np.flatnonzero(~ended)
        going = going[left]
        if len(left):
            rows = torch.from_numpy(left)
            nodes = planner.world.after(nodes.rows(rows), actions[rows])
            rules = rules.rows(left)
    return Answers([tuple(actions) for actions in played], solved, likelihood)
