"""System 2 with foresight of its own: search in the latent world of stage 2; the backbone takes the chosen step."""

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.latent import Standing
from think.core.eval.reasoning.player import Answers, Player


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search in latent states where there is a choice. Legal actions are known at the root of each search alone."""
    latent, prompts = player.foreseen, player.prompts(rules)
    standing, count = latent.read(prompts), len(prompts)
    player.tokens += prompts.numel()
    played: list[list[int]] = [[] for _ in range(count)]
    solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
    going = np.arange(count)
    while len(going):
        legal = torch.from_numpy(rules.legal())
        actions = legal.int().argmax(1)
        choices = (legal.sum(1) > 1).nonzero().squeeze(1)
        if len(choices):
            actions[choices] = latent.choose(standing, choices, legal[choices], generator)
        scores = player.scores(standing.residuals, legal)
        likelihood[going] += scores.gather(1, actions.unsqueeze(1)).squeeze(1).numpy()
        for row, action in zip(going.tolist(), actions.tolist(), strict=True):
            played[row].append(action)
        ended, won = rules.step(actions.numpy())
        solved[going] = won
        left = np.flatnonzero(~ended)
        going = going[left]
        if len(left):
            rows = torch.from_numpy(left)
            before = Standing(standing.state.rows(rows), standing.residuals[rows])
            standing = latent.read(player.tokens_of(actions[rows]).unsqueeze(1), before)
            player.tokens += len(left)
            rules = rules.rows(left)
    return Answers([tuple(actions) for actions in played], solved, likelihood)


SPEC = Arm(answer, searches=True, needs=("dynamics",))
