"""Gradients after the backward pass and before the update: their norm, their cut, and whose they are."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

START_STATE = "h0"
"Last part of the name of every trained start state."


def clip_gradients(parameters: Iterable[Parameter], limit: float | None) -> float:
    """Scale all gradients so that their joint 2-norm is at most `limit`; returns the norm before the cut.

    A norm that is not finite leaves the gradients alone: the caller stops the run.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, foreach=None) if gradients else torch.zeros(())
    before = float(norm)
    if limit is not None and math.isfinite(before) and before > limit:
        for gradient in gradients:
            gradient.mul_(limit / before)
    return before


def component_norms(parameters: Mapping[str, Parameter], components: Mapping[str, str]) -> dict[str, float]:
    """2-norm of the gradient of each component of the model; a component whose parameters got none is 0."""
    squares: dict[str, list[Tensor]] = {component: [] for component in sorted(set(components.values()))}
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            squares[components[name]].append(parameter.grad.detach().float().square().sum())
    return {name: math.sqrt(float(sum(parts))) if parts else 0.0 for name, parts in squares.items()}


def component_ratio(norms: Mapping[str, float]) -> float | None:
    """Gradient norm of the RWKV branch over that of the Mamba branch; None unless the model has both."""
    if "rwkv" not in norms or "mamba" not in norms:
        return None
    return norms["rwkv"] / norms["mamba"] if norms["mamba"] > 0 else math.inf


def start_state_norm(parameters: Mapping[str, Parameter]) -> float | None:
    """2-norm of the gradient of all trained start states, 0 in a step without a reset; None when there are none."""
    states = [parameter for name, parameter in parameters.items() if name.rpartition(".")[2] == START_STATE]
    if not states:
        return None
    return math.sqrt(sum(float(state.grad.square().sum()) for state in states if state.grad is not None))
