"""Scaled sum, the plain definition."""

import torch
from torch import Tensor


def run(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None) -> Tensor:
    """Arguments as `think.kernels.scaled_sum.scaled_sum`; the gains in the type of accumulation."""
    scaled = x if a is None else x * a.to(x.dtype)
    return torch.addcmul(scaled, z, b.to(x.dtype))
