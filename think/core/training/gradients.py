"""Gradients after the backward pass and before the update: their norm, their cut, and whose they are."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from think.core.processes import ALONE, Group
from think.core.training.shards import divided, local

START_STATE = "h0"
"Last part of the name of every trained start state."


def clip_gradients(parameters: Iterable[Parameter], limit: float | None, group: Group = ALONE) -> float:
    """Scale all gradients so that their joint 2-norm is at most `limit`; returns the norm before the cut.

    A norm that is not finite leaves the gradients alone: the caller stops the run.
    group: processes among which gradients lie that are DTensors.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if _are_shared_out(gradients):
        before = math.sqrt(float(group.add_up(_square(gradients))))
    else:
        before = float(torch.nn.utils.get_total_norm(gradients, foreach=None) if gradients else torch.zeros(()))
    if limit is not None and math.isfinite(before) and before > limit:
        for gradient in gradients:
            local(gradient).mul_(limit / before)
    return before


def component_norms(
    parameters: Mapping[str, Parameter], components: Mapping[str, str], group: Group = ALONE
) -> dict[str, float]:
    """2-norm of the gradient of each component of the model; a component whose parameters got none is 0."""
    found: dict[str, list[Tensor]] = {component: [] for component in sorted(set(components.values()))}
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            found[components[name]].append(parameter.grad.detach())
    squares = torch.stack([_square(parts) for parts in found.values()])
    if _are_shared_out([part for parts in found.values() for part in parts]):
        squares = group.add_up(squares)
    return {name: math.sqrt(square) for name, square in zip(found, squares.tolist(), strict=True)}


def component_ratio(norms: Mapping[str, float]) -> float | None:
    """Gradient norm of the RWKV branch over that of the Mamba branch; None unless the model has both."""
    if "rwkv" not in norms or "mamba" not in norms:
        return None
    return norms["rwkv"] / norms["mamba"] if norms["mamba"] > 0 else math.inf


def start_state_norm(parameters: Mapping[str, Parameter], group: Group = ALONE) -> float | None:
    """2-norm of the gradient of all trained start states, 0 in a step without a reset; None when there are none."""
    states = [parameter for name, parameter in parameters.items() if name.rpartition(".")[2] == START_STATE]
    if not states:
        return None
    gradients = [state.grad for state in states if state.grad is not None]
    if not gradients:
        return 0.0
    square = _square(gradients)
    return math.sqrt(float(group.add_up(square) if _are_shared_out(gradients) else square))


def _are_shared_out(gradients: Sequence[Tensor]) -> bool:
    return any(divided(gradient) for gradient in gradients)


def _square(gradients: Sequence[Tensor]) -> Tensor:
    """Sum of the squares of all entries, of those alone that this process holds; 0 where there are no gradients."""
    squares = [local(gradient).float().square().sum() for gradient in gradients]
    return torch.stack(squares).sum() if squares else torch.zeros(())
