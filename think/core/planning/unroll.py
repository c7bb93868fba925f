"""How a latent world model is trained: states are unrolled along games that were played, and held against the backbone.

From a node j of a game the model goes on without looking: h_0 = root(residuals of j), h_k = GRU(a_{j+k}, h_{k-1}).

    loss = policy_0 + value_0 + mean over k = 1 … K of (policy_k + value_k + terminal_k + consistency_k), each weighed

    policy       cross-entropy to the backbone's own distribution over the legal actions of node j + k
    value        binary cross-entropy to what the node is worth, where that is known
    terminal     binary cross-entropy to whether the game is over at the node
    consistency  mean over the channels of (h_k - target)^2 / variance of the target; the target is root(residuals of
                 node j + k) without gradient, its variance that of all nodes of the batch

The gradient into each state is scaled on its way back through time, so that far steps do not outweigh near ones.
Sources: Schrittwieser et al. 2020 (unrolled losses, scaled gradient); Ye et al. 2021, "Mastering Atari games with
limited data" (consistency). Ours: the error in units of the target's variance, which no shrinking of latents lowers.

B games   K1 nodes of a game   S nodes from which states are unrolled   U steps   A actions   H width of a state
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from think.core.models.thinking import Thinking
from think.core.planning.dynamics import Dynamics
from think.core.planning.trajectories import GOLD, Trajectories
from think.presets.base import Fraction, Settings, knob

LEAST_VARIANCE = 1e-4
"Of a channel of the latents, which lie within [-1, 1]: below it a channel says nothing."


class UnrollSettings(Settings):
    """Losses of an unrolled world model."""

    steps: PositiveInt = knob(5, acts_on="optimizer")
    "steps that are unrolled without looking"
    starts: PositiveInt = knob(4, acts_on="optimizer")
    "nodes of each game from which states are unrolled, drawn anew in every step"
    policy: NonNegativeFloat = knob(1.0, acts_on="optimizer")
    "weight of the loss of the policy"
    value: NonNegativeFloat = knob(1.0, acts_on="optimizer")
    "weight of the loss of the value"
    terminal: NonNegativeFloat = knob(1.0, acts_on="optimizer")
    "weight of the loss of the end of a game"
    consistency: NonNegativeFloat = knob(1.0, acts_on="optimizer")
    "weight of the distance from what the backbone comes to hold"
    gold: Fraction = knob(0.0, acts_on="optimizer")
    "share of the solution's own action in the target of the policy, where a solution is played"
    gradient: Fraction = knob(0.5, acts_on="optimizer")
    "factor of the gradient each time that it goes back through a step"


@dataclass(frozen=True)
class Read:
    """What the backbone holds at every node of some games, and what it would play there."""

    residuals: Float[Tensor, "B K1 L D"]
    policy: Float[Tensor, "B K1 A"]

    def rows(self, index: Int[Tensor, " N"]) -> "Read":
        """Some of the games, which may repeat."""
        return Read(self.residuals[index], self.policy[index])

    @staticmethod
    def join(parts: Sequence["Read"]) -> "Read":
        """Games side by side."""
        return Read(torch.cat([part.residuals for part in parts]), torch.cat([part.policy for part in parts]))


@dataclass(frozen=True)
class Losses:
    """`objective` is what is minimised; the others are detached means over all unrolled steps, in nats or in units of
    the variance."""

    objective: Tensor
    policy: Tensor
    value: Tensor
    terminal: Tensor
    consistency: Tensor


@torch.no_grad()
def read(model: Thinking, games: Trajectories, actions: Int[Tensor, " A"]) -> Read:
    """Let the backbone read the games, on the device where both are; `actions` are the tokens of the actions."""
    residuals = model.residuals(games.tokens)[0][:, games.prompt - 1 :]
    logits = model.logits(model.norm(residuals[:, :, -1]))[:, :, actions].float()
    if games.legal is not None:
        # nodes without a legal action have no policy; they are never asked for one
        logits = logits.masked_fill(~games.legal & games.legal.any(-1, keepdim=True), -torch.inf)
    return Read(residuals, logits.softmax(-1))


@dataclass(frozen=True)
class Course:
    """Nodes of games from which states are unrolled: start [B, S] is the first of each."""

    games: Trajectories
    start: Int[Tensor, "B S"]

    def node(self, step: int) -> Int[Tensor, "B S"]:
        """The node after so many steps; the last one of the batch where there is none."""
        return (self.start + step).clamp(max=self.games.most)

    def holds(self, step: int) -> Bool[Tensor, "B S"]:
        """Whether the game came so far."""
        return self.start + step <= self.games.steps.unsqueeze(1)

    def at(self, values: Tensor, step: int) -> Tensor:
        """Of values of nodes [B, K1, ...] those after so many steps [B, S, ...]."""
        return values[torch.arange(len(values), device=values.device).unsqueeze(1), self.node(step)]

    def actions(self, step: int, of: Int[Tensor, "B K"] | None = None) -> Int[Tensor, "B S"]:
        """The actions that lead to the node after so many steps; `of` takes other games' actions in their place."""
        taken = self.games.actions if of is None else of
        return taken.gather(1, self.node(step) - 1)


def courses(games: Trajectories, settings: UnrollSettings, generator: torch.Generator) -> Course:
    """Random nodes of each game, its end left out."""
    drawn = torch.rand(len(games), settings.starts, generator=generator, dtype=torch.float64)
    return Course(games, (drawn.to(games.steps.device) * games.steps.unsqueeze(1)).long())


def everywhere(games: Trajectories) -> Course:
    """Every node of each game."""
    return Course(games, torch.arange(games.most + 1, device=games.steps.device).expand(len(games), -1))


def losses(dynamics: Dynamics, seen: Read, course: Course, settings: UnrollSettings) -> Losses:
    """The loss of a batch; its gradient reaches all of the world model, and not the backbone."""
    games, world = course.games, dynamics.world
    real = dynamics.root(seen.residuals)
    targets = real.detach()
    variance = targets[games.played].var(0, correction=0).clamp(min=LEAST_VARIANCE)
    policy = _towards_gold(seen.policy, games, settings.gold)
    goes_on = games.played & ~games.over
    known = games.played & ~games.value.isnan()
    value, over = games.value.nan_to_num(), games.over.to(real.dtype)

    def heads(states: Float[Tensor, "B S H"], step: int) -> tuple[Tensor, Tensor]:
        here = course.holds(step)
        log = world.policy(states).log_softmax(-1)
        cross = -(course.at(policy, step) * log).sum(-1)
        # each value head learns for itself
        worth = world.value(states)
        wrong = functional.binary_cross_entropy_with_logits(
            worth, course.at(value, step).unsqueeze(-1).expand_as(worth), reduction="none"
        ).mean(-1)
        return _mean(cross, here & course.at(goes_on, step)), _mean(wrong, here & course.at(known, step))

    states = course.at(real, 0)
    policies, values = ([part] for part in heads(states, 0))
    terminals, distances = [], []
    for step in range(1, settings.steps + 1):
        here = course.holds(step)
        if not here.any():
            break
        states = settings.gradient * states + (1 - settings.gradient) * states.detach()
        embedded = world.embedding(course.actions(step))
        states = world.cell(embedded.flatten(0, 1), states.flatten(0, 1)).view_as(states)
        cross, wrong = heads(states, step)
        policies.append(cross)
        values.append(wrong)
        assert world.end is not None
        ends = world.end(states).squeeze(-1)
        terminals.append(
            _mean(functional.binary_cross_entropy_with_logits(ends, course.at(over, step), reduction="none"), here)
        )
        distance = ((states - course.at(targets, step)).square() / variance).mean(-1)
        distances.append(_mean(distance, here))
    return _sum(settings, policies, values, terminals, distances)


def _sum(
    settings: UnrollSettings,
    policies: list[Tensor],
    values: list[Tensor],
    terminals: list[Tensor],
    distances: list[Tensor],
) -> Losses:
    """A game has an action at least, so a step is unrolled always."""
    policy, value = policies[0] + _average(policies[1:]), values[0] + _average(values[1:])
    terminal, consistency = _average(terminals), _average(distances)
    objective = (
        settings.policy * policy
        + settings.value * value
        + settings.terminal * terminal
        + settings.consistency * consistency
    )
    steps = [_average(part).detach() for part in (policies[1:], values[1:], terminals, distances)]
    return Losses(objective, *steps)


def _towards_gold(policy: Tensor, games: Trajectories, share: float) -> Tensor:
    """The target of the policy, moved to the next action of a solution."""
    if not share:
        return policy
    gold = torch.zeros_like(policy)
    gold[:, :-1].scatter_(2, games.actions.unsqueeze(2), 1.0)
    solution = (games.kind == GOLD)[:, None, None]
    return torch.where(solution, (1 - share) * policy + share * gold, policy)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """0 where there is nothing."""
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)


def _average(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
