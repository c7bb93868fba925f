"""RMS norm in C: see `../native/norms.c`. float32 and bfloat16 on a processor."""

import torch
from torch import Tensor

from think.kernels.native import library, norms
from think.kernels.native.function import function
from think.kernels.rms_norm.reference import run as plain


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(norms.UNIT, device, kind)


def _forward(x: Tensor, weight: Tensor, gate: Tensor | None, epsilon: float) -> Tensor:
    out: Tensor = torch.ops.think.norm(x, gate, weight, None, 1, False, True, epsilon)
    return out


def _backward(
    x: Tensor, weight: Tensor, gate: Tensor | None, epsilon: float, d_out: Tensor
) -> tuple[Tensor | None, ...]:
    d_x, d_gate, d_weight, _ = torch.ops.think.norm_backward(x, gate, weight, None, 1, False, True, epsilon, d_out)
    return d_x, d_weight, None if gate is None else d_gate, None


run = function(plain, _forward, _backward)
