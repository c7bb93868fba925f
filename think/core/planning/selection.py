"""Rules by which a search on many positions chooses actions; `reference.py` has the equations.

A rule gives, for each position, the root actions to simulate next. Simulations of one position under different root
actions never meet below the root, so a pass of sequential halving whose actions are known beforehand is simulated at
once: the first one, and every one that visits all actions with its number of visits.

B positions   T nodes, in any mixture of positions   A actions
"""

import functools
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.planning.rules import Gumbel, Puct
from think.core.planning.schedule import passes
from think.core.planning.tree import Tree
from think.core.planning.values import completed_sigma, normalised


class Rule(Protocol):
    """How actions are chosen."""

    def root(self, tree: Tree) -> Bool[Tensor, "B A"]:
        """Root actions to simulate next, none where the simulations are used up."""
        ...

    def below(self, tree: Tree, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
        """The action to follow from each of some nodes below the root."""
        ...

    def outcome(self, tree: Tree) -> tuple[Int[Tensor, " B"], Float[Tensor, "B A"]]:
        """The action to take, and the policy that the search recommends."""
        ...


@functools.lru_cache(maxsize=64)
def schedule_table(considered: int, simulations: int) -> Int[Tensor, "C T 2"]:
    """Visits and size of every pass, for each number of considered actions from 0 on; zeros where there is none."""
    schedules = [passes(count, simulations) for count in range(considered + 1)]
    longest = max(map(len, schedules)) + 1
    return torch.tensor([[*schedule, *[(0, 0)] * (longest - len(schedule))] for schedule in schedules])


class GumbelHalving:
    """Gumbel with sequential halving at the root, the improved policy below it."""

    def __init__(self, settings: Gumbel, tree: Tree, simulations: int, noise: Float[Tensor, "B A"] | None):
        logits = tree.logits[:, 0]
        self.settings = settings
        self.sampled = logits if noise is None else logits + settings.noise * noise
        self.before = tree.taken[:, 0].clone()
        self.considered = (logits > -torch.inf).sum(1).clamp(max=settings.considered)
        table = schedule_table(settings.considered, simulations)
        self.schedule = table.to(logits.device)[self.considered]
        self.turn = torch.zeros_like(self.considered)
        self.made = torch.zeros_like(self.considered)

    def root(self, tree: Tree) -> Bool[Tensor, "B A"]:
        rows = torch.arange(tree.positions, device=self.turn.device)
        seen, count = self.schedule[rows, self.turn].unbind(1)
        left = count - self.made
        scores = self._scores(tree)
        candidates = (tree.taken[:, 0] - self.before == seen.unsqueeze(1)) & (scores > -torch.inf)
        order = scores.masked_fill(~candidates, -torch.inf).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(dim=1)
        together = (self.turn == 0) | (candidates.sum(1) == left)
        chosen = (rank < torch.where(together, left, left.clamp(max=1)).unsqueeze(1)) & candidates
        self.made += chosen.sum(1)
        whole = (self.made == count) & (count > 0)
        self.turn += whole
        self.made.masked_fill_(whole, 0)
        return chosen

    def below(self, tree: Tree, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
        taken = tree.taken[position, node].to(tree.q.dtype)
        policy = (tree.logits[position, node] + self._sigma(tree, position, node)).softmax(-1)
        behind = policy - taken / (1 + taken.sum(-1, keepdim=True))
        return behind.masked_fill(tree.logits[position, node] == -torch.inf, -torch.inf).argmax(-1)

    def outcome(self, tree: Tree) -> tuple[Int[Tensor, " B"], Float[Tensor, "B A"]]:
        made = tree.taken[:, 0] - self.before
        scores = self._scores(tree)
        most = made.amax(1, keepdim=True)
        action = scores.masked_fill(made != most, -torch.inf).argmax(1)
        rows = torch.arange(tree.positions, device=made.device)
        return action, (tree.logits[:, 0] + self._sigma(tree, rows, torch.zeros_like(rows))).softmax(-1)

    def _scores(self, tree: Tree) -> Float[Tensor, "B A"]:
        rows = torch.arange(tree.positions, device=self.turn.device)
        return self.sampled + self._sigma(tree, rows, torch.zeros_like(rows))

    def _sigma(self, tree: Tree, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> Float[Tensor, "T A"]:
        return completed_sigma(
            tree.q[position, node],
            tree.taken[position, node],
            tree.logits[position, node],
            tree.evaluated[position, node],
            visit_offset=self.settings.visit_offset,
            value_scale=self.settings.value_scale,
        )


class Bounds:
    """PUCT, at the root and below it. Its policy is the share of visits; the best of the most visited is taken."""

    def __init__(self, settings: Puct, tree: Tree, simulations: int):
        self.settings, self.simulations = settings, simulations
        self.before = tree.taken[:, 0].clone()
        self.made = 0

    def root(self, tree: Tree) -> Bool[Tensor, "B A"]:
        chosen = torch.zeros_like(self.before, dtype=torch.bool)
        if self.made < self.simulations:
            rows = torch.arange(tree.positions, device=chosen.device)
            chosen[rows, self.below(tree, rows, torch.zeros_like(rows))] = True
            self.made += 1
        return chosen

    def below(self, tree: Tree, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
        logits, taken = tree.logits[position, node], tree.taken[position, node]
        visits = tree.visits[position, node].to(logits.dtype)
        value = tree.total[position, node] / visits
        growth = self.settings.growth
        weight = visits.sqrt() * (self.settings.exploration + ((visits + growth + 1) / growth).log())
        bounds = logits.softmax(-1) * weight.unsqueeze(1) / (1 + taken)
        bounds = bounds + normalised(tree.q[position, node], taken, value)
        return bounds.masked_fill(logits == -torch.inf, -torch.inf).argmax(-1)

    def outcome(self, tree: Tree) -> tuple[Int[Tensor, " B"], Float[Tensor, "B A"]]:
        made = (tree.taken[:, 0] - self.before).to(tree.q.dtype)
        action = tree.q[:, 0].masked_fill(made != made.amax(1, keepdim=True), -torch.inf).argmax(1)
        return action, made / made.sum(1, keepdim=True)
