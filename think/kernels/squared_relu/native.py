"""Squared ReLU in C: see `../native/pointwise.c`. float32 and bfloat16 on a processor."""

import torch
from torch import Tensor

from think.kernels.native import library, operators
from think.kernels.native.function import function
from think.kernels.squared_relu.reference import run as plain

UNIT = "pointwise"


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def _forward(x: Tensor) -> Tensor:
    out: Tensor = torch.ops.think.squared_relu(x)
    return out


def _backward(x: Tensor, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return (torch.ops.think.squared_relu_backward(x, d_out),)


def _run(x: Tensor) -> Tensor:
    out = x.new_empty(x.shape)
    library.call("squared_relu_forward", x.contiguous(), out, x.numel(), operators.kind(x))
    return out


def _run_backward(x: Tensor, d_out: Tensor) -> Tensor:
    d_x = x.new_empty(x.shape)
    library.call("squared_relu_backward", *operators.contiguous(x, d_out), d_x, x.numel(), operators.kind(x))
    return d_x


operators.register("squared_relu(Tensor x) -> Tensor", _run, lambda x: x.new_empty(x.shape))
operators.register(
    "squared_relu_backward(Tensor x, Tensor d_out) -> Tensor", _run_backward, lambda x, d_out: x.new_empty(x.shape)
)
run = function(plain, _forward, _backward)
