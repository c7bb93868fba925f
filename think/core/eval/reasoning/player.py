"""A model plays puzzles: the prompt is read once, every action is one step of the model's own state.

B rows  A actions
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from think.core.data.puzzles import Environment, Integers
from think.core.data.puzzles.encoding import Encoding
from think.core.models.state import State
from think.core.models.thinking import Thinking

Choose = Callable[[Float[Tensor, "B A"]], Integers]
"log-probabilities of the actions, -inf where illegal -> an action for each row"


@dataclass(frozen=True)
class Board:
    """Positions side by side: their rules, what the model carries, and its log-probabilities of the legal actions."""

    rules: Environment
    state: State
    scores: Float[Tensor, "B A"]

    def rows(self, index: Integers) -> "Board":
        """Some of the rows, which may repeat."""
        chosen = torch.from_numpy(np.asarray(index, np.int64))
        return Board(self.rules.rows(index), self.state.rows(chosen), self.scores[chosen])


@dataclass(frozen=True)
class Answers:
    """What was played. actions: for each row its actions.   solved [B].   likelihood [B]: sum of log-probabilities."""

    actions: list[tuple[int, ...]]
    solved: Integers
    likelihood: np.ndarray


class Player:
    """A model in eval mode with the encoding of a task. tokens: tokens that the model has taken in so far."""

    def __init__(self, model: Thinking, encoding: Encoding):
        self._model, self._encoding, self.tokens = model, encoding, 0
        self._actions = torch.from_numpy(encoding.actions)

    @torch.no_grad()
    def begin(self, rules: Environment) -> Board:
        """Read the prompts, all of one length."""
        tokens = torch.from_numpy(self._encoding.prompts(rules.prompts()))
        self.tokens += tokens.numel()
        hidden, state = self._model.hidden(tokens)
        return Board(rules, state, self._scores(self._model.logits(hidden[:, -1:])[:, 0], rules))

    @torch.no_grad()
    def go_on(self, board: Board, actions: Integers) -> Board:
        """The model takes in the action that the rules have taken in each row."""
        self.tokens += len(actions)
        logits, state = self._model.step(self._actions[torch.from_numpy(actions)], board.state)
        return Board(board.rules, state, self._scores(logits, board.rules))

    def roll_out(self, board: Board, choose: Choose) -> Answers:
        """Play every row to its end."""
        count = len(board.scores)
        played: list[list[int]] = [[] for _ in range(count)]
        solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
        going = np.arange(count)
        while len(going):
            actions = choose(board.scores)
            likelihood[going] += board.scores[torch.arange(len(going)), torch.from_numpy(actions)].numpy()
            for row, action in zip(going.tolist(), actions.tolist(), strict=True):
                played[row].append(action)
            ended, won = board.rules.step(actions)
            solved[going] = won
            left = np.flatnonzero(~ended)
            going = going[left]
            if len(left):
                board = self.go_on(board if len(left) == len(ended) else board.rows(left), actions[left])
        return Answers([tuple(actions) for actions in played], solved, likelihood)

    def _scores(self, logits: Float[Tensor, "B V"], rules: Environment) -> Float[Tensor, "B A"]:
        """Log-probabilities among the legal actions; rows without any are all -inf."""
        legal = torch.from_numpy(rules.legal())
        masked = logits[:, self._actions].float().masked_fill(~legal, float("-inf"))
        return torch.where(legal, torch.log_softmax(masked, dim=1), float("-inf"))


def likeliest(scores: Float[Tensor, "B A"]) -> Integers:
    """The most probable action; the first of equals."""
    best: Integers = scores.argmax(dim=1).numpy()
    return best


def drawn(generator: torch.Generator) -> Choose:
    """Actions drawn from the model's distribution over the legal ones."""

    def choose(scores: Float[Tensor, "B A"]) -> Integers:
        taken: Integers = torch.multinomial(scores.exp(), 1, generator=generator)[:, 0].numpy()
        return taken

    return choose
