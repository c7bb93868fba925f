"""Gated group norm, the plain definition."""

from torch import Tensor
from torch.nn.functional import group_norm, silu


def run(x: Tensor, weight: Tensor, bias: Tensor, gate: Tensor, groups: int, epsilon: float) -> Tensor:
    """Arguments as `think.kernels.group_norm.group_norm`; weight and bias in the type of accumulation."""
    rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
    return group_norm(rows, groups, weight, bias, epsilon).view_as(x).to(x.dtype) * silu(gate)
