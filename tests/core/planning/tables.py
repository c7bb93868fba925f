"""Worlds that are tables: what every action does in every state is drawn beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from think.core.planning import reference
from think.core.planning.tree import Tree
from think.core.planning.world import Evaluation, Transition, World

Figures = tuple[int, float, float]


@dataclass(frozen=True)
class Table:
    """after, reward [S, A]; terminal [S]; logits [S, A]; value [S]; legal [S, A]."""

    after: Tensor
    reward: Tensor
    terminal: Tensor
    logits: Tensor
    value: Tensor
    legal: Tensor

    @staticmethod
    def draw(seed: int, states: int, actions: int, ends: float = 0.2, forbidden: float = 0.2) -> "Table":
        """State 0 never is terminal, and always has a legal action."""
        random = torch.Generator().manual_seed(seed)

        def numbers(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random, dtype=torch.float64)

        def happens(share: float, *shape: int) -> Tensor:
            return torch.rand(*shape, generator=random) < share

        terminal, legal = happens(ends, states), ~happens(forbidden, states, actions)
        terminal[0], legal[0, 0] = False, True
        after = torch.randint(states, (states, actions), generator=random)
        return Table(after, numbers(states, actions), terminal, numbers(states, actions), numbers(states), legal)

    def batched(self) -> World[Tensor]:
        def step(states: Tensor, actions: Tensor) -> Transition[Tensor]:
            after = self.after[states, actions]
            return Transition(after, self.reward[states, actions], self.terminal[after])

        def evaluate(states: Tensor) -> Evaluation:
            return Evaluation(self.logits[states], self.value[states], self.legal[states])

        return World(step, evaluate, self.after.shape[1])

    def single(self) -> reference.World[int]:
        def step(state: int, action: int) -> tuple[int, float, bool]:
            after = int(self.after[state, action])
            return after, float(self.reward[state, action]), bool(self.terminal[after])

        def evaluate(state: int) -> tuple[Sequence[float], float, Sequence[bool]]:
            return self.logits[state].tolist(), float(self.value[state]), self.legal[state].tolist()

        return reference.World(step, evaluate)


def figures(tree: Tree, position: int) -> dict[tuple[int, ...], Figures]:
    """Visits, value and reward of every node, by its path."""
    nodes = (tree.visits[position] > 0).nonzero().squeeze(1).tolist()
    value = tree.value
    return {
        tree.path(position, node): (
            int(tree.visits[position, node]),
            float(value[position, node]),
            float(tree.reward[position, node]),
        )
        for node in nodes
    }


def figures_of_reference(tree: reference.Tree[int]) -> dict[tuple[int, ...], Figures]:
    return {path: (node.visits, node.value, node.reward if path else 0.0) for path, node in tree.items()}
