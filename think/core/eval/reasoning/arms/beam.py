"""Beam search: the likeliest walk, with as many alternatives kept at each step as there are samples."""

import numpy as np
import torch

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.player import Answers, Board, Player


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """The likeliest of the walks that `samples` beams find; ended ones keep their place in the beam."""
    board = player.begin(rules)
    rows, actions = board.scores.shape
    first = np.arange(rows) * samples
    board = board.rows(np.repeat(np.arange(rows), samples))
    totals = torch.full((rows, samples), float("-inf"))
    totals[:, 0] = 0.0  # the copies are equal until the first step has told them apart
    ended, solved = np.zeros(rows * samples, np.bool_), np.zeros(rows * samples, np.bool_)
    played: list[tuple[int, ...]] = [()] * (rows * samples)
    while not ended.all():
        staying = torch.full((rows * samples, actions), float("-inf"))
        staying[:, 0] = 0.0
        steps = torch.where(torch.from_numpy(ended)[:, None], staying, board.scores)
        paths = (totals.flatten()[:, None] + steps).reshape(rows, samples * actions)
        totals, kept = paths.topk(samples, dim=1)
        origin = (first[:, None] + (kept // actions).numpy()).reshape(-1)
        taken = (kept % actions).numpy().reshape(-1)
        board, was = board.rows(origin), ended[origin]
        dead = ~was & ~np.isfinite(totals.numpy().reshape(-1))  # more beams than walks: nothing legal is left for these
        taken = np.where(dead, board.rules.legal().argmax(axis=1), taken)
        played = [
            played[one] if stays else (*played[one], int(action))
            for one, stays, action in zip(origin.tolist(), was.tolist(), taken.tolist(), strict=True)
        ]
        now, won = board.rules.step(taken)
        solved, ended = np.where(was, solved[origin], won), now
        left = np.flatnonzero(~ended)
        if len(left):
            part = player.go_on(board if len(left) == len(ended) else board.rows(left), taken[left])
            board = _with(board, part, left)
    return Answers([played[one] for one in first], solved[first].astype(np.int64), totals[:, 0].numpy())


def _with(board: Board, part: Board, rows: np.ndarray) -> Board:
    """The board with some of its rows gone on."""
    if len(rows) == len(board.scores):
        return part
    where = torch.from_numpy(rows)
    scores = board.scores.clone()
    scores[where] = part.scores
    state = board.state.clone()
    for layer, changed in zip(state.layers, part.state.layers, strict=True):
        for name, tensor in layer.items():
            tensor[where] = changed[name]
    return Board(board.rules, type(state)(part.state.position, state.layers), scores)


SPEC = Arm(answer, samples=True)
