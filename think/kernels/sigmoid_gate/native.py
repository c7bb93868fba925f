"""Sigmoid gate in C: see `../native/pointwise.c`. float32 and bfloat16 on a processor."""

import torch
from torch import Tensor

from think.kernels.native import library, operators
from think.kernels.native.function import function
from think.kernels.sigmoid_gate.reference import run as plain

UNIT = "pointwise"


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def _forward(gate: Tensor, x: Tensor) -> Tensor:
    out: Tensor = torch.ops.think.sigmoid_gate(gate, x)
    return out


def _backward(gate: Tensor, x: Tensor, d_out: Tensor) -> tuple[Tensor | None, ...]:
    found: tuple[Tensor, Tensor] = torch.ops.think.sigmoid_gate_backward(gate, x, d_out)
    return found


def _run(gate: Tensor, x: Tensor) -> Tensor:
    out = x.new_empty(x.shape)
    library.call("sigmoid_gate_forward", *operators.contiguous(gate, x), out, x.numel(), operators.kind(x))
    return out


def _run_backward(gate: Tensor, x: Tensor, d_out: Tensor) -> tuple[Tensor, Tensor]:
    found = _backward_shapes(gate, x, d_out)
    given = operators.contiguous(gate, x, d_out)
    library.call("sigmoid_gate_backward", *given, *found, x.numel(), operators.kind(x))
    return found


def _backward_shapes(gate: Tensor, x: Tensor, d_out: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape)


operators.register("sigmoid_gate(Tensor gate, Tensor x) -> Tensor", _run, lambda gate, x: x.new_empty(x.shape))
operators.register(
    "sigmoid_gate_backward(Tensor gate, Tensor x, Tensor d_out) -> (Tensor, Tensor)", _run_backward, _backward_shapes
)
run = function(plain, _forward, _backward)
