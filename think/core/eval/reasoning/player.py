"""A model plays puzzles: the prompt is read once, every action is one step of the model's own state.

B rows  A actions
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.data.puzzles import Environment, Integers
from think.core.data.puzzles.encoding import Encoding
from think.core.errors import UsageError
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.planner import Planner
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

    @staticmethod
    def together(several: Sequence["Answers"]) -> "Answers":
        """Those of several batches, one after the other."""
        return Answers(
            [actions for each in several for actions in each.actions],
            np.concatenate([each.solved for each in several]),
            np.concatenate([each.likelihood for each in several]),
        )


class Player:
    """A model in eval mode with the encoding of a task. tokens: tokens that the model has taken in so far.

    planner   a critic and how to search, for arms that need one
    larger    a player with another model, for the arm that needs one
    latent    dynamics and how to search, for the arm that needs them
    """

    def __init__(
        self,
        model: Thinking,
        encoding: Encoding,
        planner: Planner | None = None,
        larger: "Player | None" = None,
        latent: Latent | None = None,
    ):
        self.model, self._encoding, self.tokens = model, encoding, 0
        self.planner, self.larger, self.latent = planner, larger, latent
        self._actions = torch.from_numpy(encoding.actions)

    @property
    def planned(self) -> Planner:
        """The planner. Raises UsageError where there is none."""
        if self.planner is None:
            raise UsageError("this arm needs a trained critic", remedy="name a run that has one")
        return self.planner

    @property
    def other(self) -> "Player":
        """The player with the other model. Raises UsageError where there is none."""
        if self.larger is None:
            raise UsageError("this arm needs another trained run", remedy="name it with --larger")
        return self.larger

    @property
    def foreseen(self) -> Latent:
        """The latent world. Raises UsageError where there is none."""
        if self.latent is None:
            raise UsageError("this arm needs trained dynamics", remedy="name a run that has them")
        return self.latent

    def tokens_of(self, actions: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """The token of each action."""
        return self._actions[actions]

    @torch.no_grad()
    def scores(self, residuals: Float[Tensor, "B L D"], legal: Bool[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """Log-probabilities of the legal actions, from what the model holds at the last token."""
        logits = self.model.logits(self.model.norm(residuals[:, -1]))[:, self._actions].float()
        return logits.masked_fill(~legal, float("-inf")).log_softmax(dim=1)

    def prompts(self, rules: Environment) -> Int[Tensor, "B P"]:
        """The tokens of the prompts, all of one length."""
        return torch.from_numpy(self._encoding.prompts(rules.prompts()))

    @torch.no_grad()
    def begin(self, rules: Environment) -> Board:
        """Read the prompts, all of one length."""
        tokens = self.prompts(rules)
        self.tokens += tokens.numel()
        hidden, state = self.model.hidden(tokens)
        return Board(rules, state, self._scores(self.model.logits(hidden[:, -1:])[:, 0], rules))

    @torch.no_grad()
    def go_on(self, board: Board, actions: Integers) -> Board:
        """The model takes in the action that the rules have taken in each row."""
        self.tokens += len(actions)
        logits, state = self.model.step(self._actions[torch.from_numpy(actions)], board.state)
        return Board(board.rules, state, self._scores(logits, board.rules))

    def roll_out(
        self,
        board: Board,
        choose: Choose,
        *,
        follow: Sequence[tuple[int, ...]] | None = None,
        avoid: Integers | None = None,
    ) -> Answers:
        """Play every row to its end.

        follow   actions that each row begins with, whatever would be chosen
        avoid    an action for each row that it does not take right after these, unless there is no other
        """
        count = len(board.scores)
        played: list[list[int]] = [[] for _ in range(count)]
        solved, likelihood = np.zeros(count, np.int64), np.zeros(count)
        going, step = np.arange(count), 0
        while len(going):
            actions = choose(self._allowed(board.scores, going, step, follow, avoid))
            likelihood[going] += board.scores[torch.arange(len(going)), torch.from_numpy(actions)].numpy()
            for row, action in zip(going.tolist(), actions.tolist(), strict=True):
                played[row].append(action)
            ended, won = board.rules.step(actions)
            solved[going] = won
            left = np.flatnonzero(~ended)
            going, step = going[left], step + 1
            if len(left):
                board = self.go_on(board if len(left) == len(ended) else board.rows(left), actions[left])
        return Answers([tuple(actions) for actions in played], solved, likelihood)

    def _allowed(
        self,
        scores: Float[Tensor, "B A"],
        going: Integers,
        step: int,
        follow: Sequence[tuple[int, ...]] | None,
        avoid: Integers | None,
    ) -> Float[Tensor, "B A"]:
        """Log-probabilities among what each row may take at this step."""
        if follow is None:
            return scores
        scores = scores.clone()
        for place, row in enumerate(going.tolist()):
            known = follow[row]
            if step < len(known):
                scores[place] = torch.where(torch.arange(scores.shape[1]) == known[step], 0.0, -torch.inf)
            elif step == len(known) and avoid is not None and int((scores[place] > -torch.inf).sum()) > 1:
                scores[place, avoid[row]] = -torch.inf
        return scores.log_softmax(dim=1)

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
