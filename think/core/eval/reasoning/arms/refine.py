"""A draft, revised where the critic's value falls most; a revision is kept when the critic likes its end better.

The first answer is the model's likeliest. A revision keeps the actions up to that place, takes another one there where
there is one, and draws the rest. It costs what a drawn answer costs, so `samples` answers cost the same here and there.
"""

import numpy as np
import torch

from think.core.data.puzzles import Environment, Integers
from think.core.eval.reasoning.arms import Arm, _judged
from think.core.eval.reasoning.player import Answers, Player, drawn, likeliest


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """One draft and `samples` - 1 revisions of the best so far."""
    prompts = player.planned.world.opened(player.prompts(rules))
    board = player.begin(rules)
    every = np.arange(len(prompts.read))
    best = player.roll_out(board.rows(every), likeliest)
    values = _judged.worth(player, prompts, best)
    for _ in range(samples - 1):
        place = weakest(values, choices(rules.rows(every), best))
        kept = [actions[:stop] for actions, stop in zip(best.actions, place.tolist(), strict=True)]
        avoided = np.array([actions[stop] for actions, stop in zip(best.actions, place.tolist(), strict=True)])
        other = player.roll_out(board.rows(every), drawn(generator), follow=kept, avoid=avoided)
        found = _judged.worth(player, prompts, other)
        better = _judged.at_end(found) > _judged.at_end(values)
        best, values = chosen(best, other, better), _widest(values, found, better)
    return best


def choices(rules: Environment, answers: Answers) -> np.ndarray:
    """[B, K] whether there was more than one legal action before each one that was taken."""
    longest = max(map(len, answers.actions))
    found = np.zeros((len(answers.actions), longest), np.bool_)
    for step in range(longest):
        found[:, step] = rules.legal().sum(axis=1) > 1
        rules.step(np.array([one[min(step, len(one) - 1)] for one in answers.actions], np.int64))
    return found


def weakest(values: np.ndarray, choice: np.ndarray) -> Integers:
    """The place, of those with a choice, whose action lost most value; 0 where there was never a choice."""
    steps = choice.shape[1]  # values may reach further, to the end of an answer that was given up
    falls = np.nan_to_num(values[:, :steps] - values[:, 1 : steps + 1], nan=-np.inf)
    found: Integers = np.where(choice, falls, -np.inf).argmax(axis=1)
    return found


def chosen(one: Answers, other: Answers, which: np.ndarray) -> Answers:
    """Row by row one or, where `which` says so, the other."""
    actions = [b if takes else a for a, b, takes in zip(one.actions, other.actions, which.tolist(), strict=True)]
    return Answers(
        actions, np.where(which, other.solved, one.solved), np.where(which, other.likelihood, one.likelihood)
    )


def _widest(one: np.ndarray, other: np.ndarray, which: np.ndarray) -> np.ndarray:
    width = max(one.shape[1], other.shape[1])
    padded = [np.pad(v, ((0, 0), (0, width - v.shape[1])), constant_values=np.nan) for v in (one, other)]
    return np.where(which[:, None], padded[1], padded[0])


SPEC = Arm(answer, samples=True, needs=("critic",))
