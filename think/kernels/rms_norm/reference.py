"""RMS norm, the plain definition."""

from torch import Tensor
from torch.nn.functional import rms_norm, silu


def run(x: Tensor, weight: Tensor, gate: Tensor | None, epsilon: float) -> Tensor:
    """Arguments as `think.kernels.rms_norm.rms_norm`; the weight in the type of accumulation."""
    u = x if gate is None else x * silu(gate)
    return rms_norm(u.to(weight.dtype), weight.shape, weight, epsilon).to(x.dtype)
