"""Sigmoid gate, the plain definition."""

import torch
from torch import Tensor


def run(gate: Tensor, x: Tensor) -> Tensor:
    """Arguments as `think.kernels.sigmoid_gate.sigmoid_gate`, of one type."""
    return torch.sigmoid(gate) * x
