"""Squared ReLU, the plain definition."""

from torch import Tensor
from torch.nn.functional import relu


def run(x: Tensor) -> Tensor:
    """Arguments as `think.kernels.squared_relu.squared_relu`."""
    return relu(x).square()
