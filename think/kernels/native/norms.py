"""The norms of `norms.c` as operators of torch."""

import torch
from torch import Tensor

from think.kernels.native import library, operators

UNIT = "norms"

ROWS_OF_A_TASK, WIDEST = 32, 16
"As norms.c has them: BLOCK, and the floats of the longest vector."

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]
"of x, gate, weight, bias; gate and bias empty where there is none"


def _sizes(
    x: Tensor, gate: Tensor | None, groups: int, centred: bool, first: bool, epsilon: float
) -> tuple[float, ...]:
    channels = x.shape[-1]
    place = 0 if gate is None else 1 if first else 2
    return x.numel() // channels, channels, groups, epsilon, centred, place, operators.kind(x)


def _forward(
    x: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    centred: bool,
    first: bool,
    epsilon: float,
) -> Tensor:
    out = _shape(x, gate, weight, bias, groups, centred, first, epsilon)
    given = operators.contiguous(x, gate, weight, bias)
    library.call("norm_forward", *given, out, *_sizes(x, gate, groups, centred, first, epsilon))
    return out


def _shape(
    x: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    centred: bool,
    first: bool,
    epsilon: float,
) -> Tensor:
    return x.new_empty(x.shape)


def _backward(
    x: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    centred: bool,
    first: bool,
    epsilon: float,
    d_out: Tensor,
) -> Gradients:
    found = _backward_shapes(x, gate, weight, bias, groups, centred, first, epsilon, d_out)
    sizes = _sizes(x, gate, groups, centred, first, epsilon)
    rows, channels = x.numel() // x.shape[-1], x.shape[-1]
    padded = -(-channels // groups // WIDEST) * WIDEST
    parts = weight.new_empty(-(-rows // ROWS_OF_A_TASK), 2, groups, padded)
    given = operators.contiguous(x, gate, weight, bias, d_out)
    d_x, d_gate, d_weight, d_bias = found
    d_bias_or_none = None if bias is None else d_bias
    library.call("norm_backward", *given, d_x, d_gate, d_weight, d_bias_or_none, parts, *sizes)
    return found


def _backward_shapes(
    x: Tensor,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    centred: bool,
    first: bool,
    epsilon: float,
    d_out: Tensor,
) -> Gradients:
    gates = x.new_empty(0 if gate is None else x.shape)
    return x.new_empty(x.shape), gates, torch.empty_like(weight), weight.new_empty(0 if bias is None else weight.shape)


_GIVEN = "Tensor x, Tensor? gate, Tensor weight, Tensor? bias, int groups, bool centred, bool first, float epsilon"
operators.register(f"norm({_GIVEN}) -> Tensor", _forward, _shape)
operators.register(
    f"norm_backward({_GIVEN}, Tensor d_out) -> (Tensor, Tensor, Tensor, Tensor)", _backward, _backward_shapes
)
