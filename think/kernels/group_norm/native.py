"""Gated group norm in C: see `../native/norms.c`. float32 and bfloat16 on a processor."""

import torch
from torch import Tensor

from think.kernels.group_norm.reference import run as plain
from think.kernels.native import library, norms
from think.kernels.native.function import function


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(norms.UNIT, device, kind)


def _forward(x: Tensor, weight: Tensor, bias: Tensor, gate: Tensor, groups: int, epsilon: float) -> Tensor:
    out: Tensor = torch.ops.think.norm(x, gate, weight, bias, groups, True, False, epsilon)
    return out


def _backward(
    x: Tensor, weight: Tensor, bias: Tensor, gate: Tensor, groups: int, epsilon: float, d_out: Tensor
) -> tuple[Tensor | None, ...]:
    d_x, d_gate, d_weight, d_bias = torch.ops.think.norm_backward(
        x, gate, weight, bias, groups, True, False, epsilon, d_out
    )
    return d_x, d_weight, d_bias, d_gate, None, None


run = function(plain, _forward, _backward)
