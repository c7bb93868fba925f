"""Worlds that a search should gain nothing from: what it gains there, it has not from the world.

Both take any world. What remains to a search in them is the policy at its root.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.planning.world import Evaluation, Transition, World

MOST_SEEN = 1 << 16
"Values that are drawn from: the last ones."


def shuffled_values(world: World[Any], generator: torch.Generator) -> World[Any]:
    """The same world, in which each node is worth what some node is, of all that were evaluated so far.

    Not of those evaluated with it: nodes that are evaluated late lie deep, where only what still lives is gone on with,
    so a permutation among them would leave it its higher values.
    """
    seen = torch.zeros(0)

    def drawn(values: Tensor) -> Tensor:
        nonlocal seen
        seen = torch.cat([seen.to(values), values])[-MOST_SEEN:]
        return seen[torch.randint(len(seen), (len(values),), generator=generator)]

    def evaluate(states: Any) -> Evaluation:
        found = world.evaluate(states)
        return replace(found, value=drawn(found.value))

    def step(states: Any, actions: Int[Tensor, " T"]) -> Transition[Any]:
        found = world.step(states, actions)
        ends = found.terminal.nonzero().squeeze(1)
        if not len(ends):
            return found
        return replace(found, reward=found.reward.index_copy(0, ends, drawn(found.reward[ends])))

    return replace(world, step=step, evaluate=evaluate)


def identity(world: World[Any]) -> World[Any]:
    """The same world, in which no action changes anything."""

    def step(states: Any, actions: Int[Tensor, " T"]) -> Transition[Any]:
        nothing = torch.zeros(len(actions), device=actions.device)
        return Transition(states, nothing, nothing.bool())

    return replace(world, step=step)
