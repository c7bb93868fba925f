"""Scaled sum in C: see `../native/pointwise.c`. float32 and bfloat16 on a processor."""

import torch
from torch import Tensor

from think.kernels.native import library, operators
from think.kernels.native.function import function
from think.kernels.scaled_sum.reference import run as plain

UNIT = "pointwise"

ROWS_OF_A_TASK = 64
"As pointwise.c has them: BLOCK_ROWS."

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]
"of x, z, b, a; without a the first and the last are empty"


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def _forward(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.think.scaled_sum(x, z, b, a)
    return out


def _backward(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None, d_out: Tensor) -> tuple[Tensor | None, ...]:
    d_x, d_z, d_b, d_a = torch.ops.think.scaled_sum_backward(x, z, b, a, d_out)
    return (d_out, d_z, d_b, None) if a is None else (d_x, d_z, d_b, d_a)


def _run(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None) -> Tensor:
    out = x.new_empty(x.shape)
    channels = x.shape[-1]
    x, z, b, a = operators.contiguous(x, z, b, a)
    library.call("scaled_sum_forward", x, z, a, b, out, x.numel() // channels, channels, operators.kind(x))
    return out


def _run_backward(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None, d_out: Tensor) -> Gradients:
    found = _backward_shapes(x, z, b, a, d_out)
    d_x, d_z, d_b, d_a = found
    channels = x.shape[-1]
    rows = x.numel() // channels
    parts = b.new_empty(-(-rows // ROWS_OF_A_TASK), 2, channels)
    x, z, b, a, d_out = operators.contiguous(x, z, b, a, d_out)
    library.call(
        "scaled_sum_backward",
        *(x, z, a, b, d_out, d_x, d_z, None if a is None else d_a, d_b, parts, rows, channels, operators.kind(x)),
    )
    return found


def _backward_shapes(x: Tensor, z: Tensor, b: Tensor, a: Tensor | None, d_out: Tensor) -> Gradients:
    d_x, d_a = (x.new_empty(0), b.new_empty(0)) if a is None else (x.new_empty(x.shape), b.new_empty(b.shape))
    return d_x, z.new_empty(z.shape), b.new_empty(b.shape), d_a


_GIVEN = "Tensor x, Tensor z, Tensor b, Tensor? a"
operators.register(f"scaled_sum({_GIVEN}) -> Tensor", _run, lambda x, z, b, a: x.new_empty(x.shape))
operators.register(
    f"scaled_sum_backward({_GIVEN}, Tensor d_out) -> (Tensor, Tensor, Tensor, Tensor)", _run_backward, _backward_shapes
)
run = function(plain, _forward, _backward)
