"""Games that a model has read: a prompt, the actions played after it, and what each place on the way is worth.

Four kinds of games are mixed, since a world model that has seen good play alone cannot tell what bad play leads to
[He et al. 2024, "What model does MuZero learn?"]:

    gold     a solution of the puzzle
    own      actions drawn from the model's own distribution over the legal ones
    noisy    a solution in which an action is now and then any legal one, as are those that are not legal after it
    random   legal actions

Node k of a game is the place after k actions; node 0 is where the prompt ends.

B games   P tokens of a prompt   K most actions of a game   A actions
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core import seeding
from think.core.data.puzzles import Bools, Environment, Integers, Puzzle, Split, Task
from think.core.data.puzzles.batch import environment
from think.core.data.puzzles.encoding import Encoding
from think.core.errors import BadData, BadSettings
from think.core.models.thinking import Thinking
from think.presets.base import Fraction, Settings, knob

Targets = Literal["outcome", "solvable"]
KINDS = GOLD, OWN, NOISY, RANDOM = range(4)
KIND_NAMES = ("gold", "own", "noisy", "random")
NEVER = -1
"An action that no mask allows."


class MixtureSettings(Settings):
    """Shares of the kinds of games; they need not add up to 1."""

    gold: Fraction = knob(0.25, acts_on="data")
    "share of solutions"
    own: Fraction = knob(0.25, acts_on="data")
    "share of games that the model plays"
    noisy: Fraction = knob(0.25, acts_on="data")
    "share of solutions with other actions in them"
    random: Fraction = knob(0.25, acts_on="data")
    "share of games of random legal actions"
    noise: Fraction = knob(0.3, acts_on="data")
    "probability that an action of a noisy game is any legal one"

    def weights(self) -> tuple[float, ...]:
        """Of the kinds in their order, sum 1. Raises BadSettings when all are 0."""
        shares = (self.gold, self.own, self.noisy, self.random)
        if not sum(shares):
            raise BadSettings(
                "no kind of games has a share", where="mixture", expected="gold, own, noisy or random above 0"
            )
        return tuple(share / sum(shares) for share in shares)


@dataclass(frozen=True)
class Trajectories:
    """Games side by side.

    tokens   what the model reads: prompts of one length, and the actions; after an end its last action stands again
    prompt   P
    actions  indices of the actions, as tokens has them
    steps    actions that were played, 0 to K
    ended    whether the game was over after them
    value    of each node: 1 where it is worth all, 0 where nothing, NaN where that is not known or nothing was played
    legal    legal actions of each node, none after the end; None where all are
    kind     one of KINDS
    """

    tokens: Int[Tensor, "B PK"]
    prompt: int
    actions: Int[Tensor, "B K"]
    steps: Int[Tensor, " B"]
    ended: Bool[Tensor, " B"]
    value: Float[Tensor, "B K1"]
    legal: Bool[Tensor, "B K1 A"] | None
    kind: Int[Tensor, " B"]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def most(self) -> int:
        """K, the most actions that any of these games has."""
        return self.actions.shape[1]

    @property
    def played(self) -> Bool[Tensor, "B K1"]:
        """Which nodes a game came to."""
        return self._nodes() <= self.steps.unsqueeze(1)

    @property
    def over(self) -> Bool[Tensor, "B K1"]:
        """At which nodes the game is over; later ones are not counted."""
        return self.ended.unsqueeze(1) & (self._nodes() == self.steps.unsqueeze(1))

    def rows(self, index: Int[Tensor, " N"]) -> "Trajectories":
        """Some of the games, which may repeat."""
        return self._each(lambda tensor: tensor[index])

    def to(self, device: torch.device) -> "Trajectories":
        return self._each(lambda tensor: tensor.to(device))

    def _nodes(self) -> Int[Tensor, " K1"]:
        return torch.arange(self.most + 1, device=self.steps.device)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Trajectories":
        return Trajectories(
            change(self.tokens),
            self.prompt,
            change(self.actions),
            change(self.steps),
            change(self.ended),
            change(self.value),
            None if self.legal is None else change(self.legal),
            change(self.kind),
        )


class Play:
    """Plays the puzzles of a split with a model, whose weights move only the games of its own."""

    def __init__(self, model: Thinking, encoding: Encoding, task: Task, settings: Any, split: Split, targets: Targets):
        """Raises BadSettings when the task cannot tell what the targets ask for."""
        if targets == "solvable" and task.solvable is None:
            raise BadSettings(
                f"{settings.kind} has no exact solver: nothing tells whether a place can still be solved",
                where="targets",
                expected="targets = outcome",
            )
        if targets not in get_args(Targets):
            raise BadSettings(
                f"there are no targets {targets!r}", where="targets", expected=", ".join(get_args(Targets))
            )
        self._model, self._encoding, self._task, self._settings = model, encoding, task, settings
        self._split: Split = split
        self._targets = targets

    @property
    def actions(self) -> Int[Tensor, " A"]:
        """The token of each action."""
        return torch.from_numpy(self._encoding.actions)

    @torch.no_grad()
    def batch(self, seed: int, rows: int, mixture: MixtureSettings, games: int = 1) -> Trajectories:
        """As many games, `games` beside each other of one puzzle; a pure function of the seed, and of the weights for
        games of its own. Rows must be a multiple of `games`.

        Raises BadData for puzzles whose prompts differ in length.
        """
        random = np.random.default_rng(seeding.stream(seed, "trajectories"))
        seeds = np.repeat(random.integers(0, 2**62, rows // games), games)
        kind = random.choice(len(KINDS), rows, p=mixture.weights())
        rules = environment(self._task, self._settings, self._split)
        rules.reset(seeds)
        game = _Game(rules, self._prompts(rules), self._plan(seeds, kind), kind)
        player = _Player(self._model, self.actions, game.prompts, kind == OWN)
        values, legal = [self._worth(rules, None)], [rules.legal()]
        while legal[-1].any():
            going: Bools = np.asarray(legal[-1].any(axis=1))
            actions = game.choose(legal[-1], mixture.noise, random, player)
            ended, solved = rules.step(np.where(going, actions, 0))
            game.took(actions, going)
            values.append(self._worth(rules, np.where(ended, solved, np.nan)))
            legal.append(rules.legal())
            player.go_on(actions)
        return self._together(game, values, legal)

    def _prompts(self, rules: Environment) -> Integers:
        try:
            return self._encoding.prompts(rules.prompts())
        except ValueError as error:
            raise BadData(
                f"the prompts of {self._settings.kind} differ in length: {error}",
                expected="a task whose prompts are of one length",
            ) from None

    def _plan(self, seeds: Integers, kind: Integers) -> Integers:
        """[B, longest] a solution of each puzzle that is to be played by one, NEVER where there is none."""
        index = {action: place for place, action in enumerate(self._task.actions)}
        wanted = np.flatnonzero((kind == GOLD) | (kind == NOISY))
        puzzles: list[Puzzle] = self._task.draw(self._settings, self._split, seeds[wanted]) if len(wanted) else []
        answers = [puzzle.gold(Random(int(seed))) for puzzle, seed in zip(puzzles, seeds[wanted], strict=True)]
        plan = np.full((len(seeds), max(map(len, answers), default=0)), NEVER, np.int64)
        for row, answer in zip(wanted.tolist(), answers, strict=True):
            plan[row, : len(answer)] = [index[character] for character in answer]
        return plan

    def _worth(self, rules: Environment, outcome: np.ndarray | None) -> np.ndarray:
        """What the nodes are worth as far as it is known now."""
        if self._targets == "solvable" and self._task.solvable is not None:
            return self._task.solvable(rules).astype(np.float64)
        return np.full(len(rules.legal()), np.nan) if outcome is None else outcome

    def _together(self, game: "_Game", values: list[np.ndarray], legal: list[Bools]) -> Trajectories:
        value, steps = np.stack(values, axis=1), game.steps
        if self._targets == "outcome":
            value = np.broadcast_to(value[:, -1:], value.shape)
        nodes = np.arange(value.shape[1])
        value = np.where(nodes <= steps[:, None], value, np.nan)
        actions = torch.from_numpy(game.actions())
        return Trajectories(
            tokens=torch.cat([torch.from_numpy(game.prompts), self.actions[actions]], dim=1),
            prompt=game.prompts.shape[1],
            actions=actions,
            steps=torch.from_numpy(steps),
            ended=torch.ones(len(steps), dtype=torch.bool),
            value=torch.from_numpy(value.astype(np.float32)),
            legal=torch.from_numpy(np.stack(legal, axis=1)),
            kind=torch.from_numpy(game.kind),
        )


class _Game:
    """The puzzles being played: who plays what, and what was played."""

    def __init__(self, rules: Environment, prompts: Integers, plan: Integers, kind: Integers):
        self.rules, self.prompts, self.kind = rules, prompts, kind
        self.steps = np.zeros(len(kind), np.int64)
        self._plan, self._taken = plan, list[Integers]()

    def choose(self, legal: Bools, noise: float, random: np.random.Generator, player: "_Player") -> Integers:
        """An action for each row by its kind."""
        # drawn for every row, whoever needs it: what one row gets does not depend on the others
        shaken, drawn = random.random(len(legal)) < noise, random.random(len(legal))
        anything = drawn_from(legal / np.maximum(legal.sum(axis=1, keepdims=True), 1), random.random(len(legal)))
        step = len(self._taken)
        planned = self._plan[:, step] if step < self._plan.shape[1] else np.full(len(legal), NEVER)
        fits = (planned != NEVER) & legal[np.arange(len(legal)), planned]
        follows = fits & ((self.kind == GOLD) | (self.kind == NOISY) & ~shaken)
        actions = np.where(follows, planned, anything)
        own = np.flatnonzero((self.kind == OWN) & legal.any(axis=1))
        actions[own] = player.choose(own, legal, drawn)
        return actions

    def took(self, actions: Integers, going: Bools) -> None:
        """Keep what was played; a row that is over repeats its last action."""
        self._taken.append(np.where(going, actions, self._taken[-1] if self._taken else actions))
        self.steps += going

    def actions(self) -> Integers:
        """[B, K]"""
        return np.stack(self._taken, axis=1)


class _Player:
    """The model at the rows that it plays itself."""

    def __init__(self, model: Thinking, actions: Int[Tensor, " A"], prompts: Integers, plays: Bools):
        self._model, self._actions, self._rows = model, actions, np.flatnonzero(plays)
        self._place = np.cumsum(plays) - 1
        self._device = model.embedding.weight.device
        if len(self._rows):
            hidden, self._state = model.hidden(torch.from_numpy(prompts[self._rows]).to(self._device))
            self._logits = model.logits(hidden[:, -1])

    def choose(self, rows: Integers, legal: Bools, drawn: np.ndarray) -> Integers:
        """Actions drawn from the model's distribution over the legal ones; `rows` are some that it plays."""
        if not len(rows):
            return np.zeros(0, np.int64)
        logits = self._logits.cpu()[torch.from_numpy(self._place[rows])][:, self._actions].double()
        masked = logits.masked_fill(~torch.from_numpy(legal[rows]), float("-inf"))
        return drawn_from(masked.softmax(dim=1).numpy(), drawn[rows])

    def go_on(self, actions: Integers) -> None:
        """The model reads what was played."""
        if len(self._rows):
            tokens = self._actions[torch.from_numpy(actions[self._rows])]
            self._logits, self._state = self._model.step(tokens.to(self._device), self._state)


def drawn_from(probability: np.ndarray, uniform: np.ndarray) -> Integers:
    """[B, A], [B] -> [B] the action whose interval holds a number of [0, 1); none of probability 0."""
    edges = probability.cumsum(axis=1)
    # rounding may leave the last edge below 1
    inside = uniform[:, None] * edges[:, -1:] < edges
    found: Integers = inside.argmax(axis=1)
    return found
