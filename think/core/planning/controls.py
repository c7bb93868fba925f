"""Worlds that a search should gain nothing from: what it gains there, it has not from the world.

Both take any world. What remains to a search in them is the policy at its root.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.planning.world import Evaluation, Transition, World


def shuffled_values(world: World[Any], generator: torch.Generator) -> World[Any]:
    """The same world, in which each node is worth what another one of those evaluated with it is."""

    def evaluate(states: Any) -> Evaluation:
        found = world.evaluate(states)
        return replace(found, value=found.value[_permuted(len(found.value), generator)])

    def step(states: Any, actions: Int[Tensor, " T"]) -> Transition[Any]:
        found = world.step(states, actions)
        ends = found.terminal.nonzero().squeeze(1)
        reward = found.reward.clone()
        reward[ends] = found.reward[ends[_permuted(len(ends), generator)]]
        return replace(found, reward=reward)

    return replace(world, step=step, evaluate=evaluate)


def identity(world: World[Any]) -> World[Any]:
    """The same world, in which no action changes anything."""

    def step(states: Any, actions: Int[Tensor, " T"]) -> Transition[Any]:
        nothing = torch.zeros(len(actions), device=actions.device)
        return Transition(states, nothing, nothing.bool())

    return replace(world, step=step)


def _permuted(count: int, generator: torch.Generator) -> Int[Tensor, " N"]:
    return torch.randperm(count, generator=generator)
