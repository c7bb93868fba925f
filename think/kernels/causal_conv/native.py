"""Causal convolution in C: see `../native/causal_conv.c`. float32 and bfloat16 on a processor.

The two operators `think::causal_conv` and `think::causal_conv_backward` are known to torch, so that torch.compile takes
them as they are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_taps.py` runs.

B batch  T time  C channels  W window (taps)
"""

from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.causal_conv._taps import last_window, plain
from think.kernels.native import library, operators

UNIT = "causal_conv"
NARROW = True
"bfloat16 inputs are read as they are"


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def run(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.causal_conv.causal_conv`; x float32 or bfloat16, the others float32."""
    return Native.apply(x, weight, bias, state, reset, fresh, activation)


class Native(torch.autograd.Function):
    """The two operators, one the gradient of the other."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        activation: str | None,
    ) -> tuple[Tensor, Tensor]:
        return torch.ops.think.causal_conv(x, weight, bias, state, reset, fresh, activation == "silu")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.activation = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        given = (*ctx.saved_tensors, ctx.activation)
        with full_precision(d_out.device):
            if torch.is_grad_enabled():
                return tuple(differentiable_gradient(both, given, ctx.needs_input_grad, (d_out, d_last)))
            x, weight, bias, state, reset, fresh, activation = given
            d_x, d_weight, d_bias, d_state, d_fresh = torch.ops.think.causal_conv_backward(
                *(x, weight, bias, state, reset, fresh, activation == "silu", d_out, d_last)
            )
        return (
            *(d_x, d_weight, None if bias is None else d_bias, d_state, None),
            *(None if reset is None or fresh is None else d_fresh, None),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return torch.vmap(both, in_dims)(*inputs), (0, 0)


def both(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    """Outputs and last window, as differentiable torch operations."""
    wide = x.to(state.dtype)
    out = plain(wide, weight, bias, state, reset, fresh, activation)
    return out.to(x.dtype), last_window(wide, state, reset, fresh)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    out, last = _forward_shapes(x, weight, bias, state, reset, fresh, silu)
    x, weight, bias, state, reset, fresh = operators.contiguous(x, weight, bias, state, reset, fresh)
    sizes = (*x.shape, weight.shape[1])
    library.call(
        "causal_conv_forward", x, weight, bias, state, reset, fresh, out, last, *sizes, silu, operators.kind(x)
    )
    return out, last


def _forward_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), state.new_empty(state.shape)


def _backward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    found = _backward_shapes(x, weight, bias, state, reset, fresh, silu, d_out, d_last)
    batch, _, channels = x.shape
    window = weight.shape[1]
    parts = weight.new_empty((batch, 2 * window, channels))
    given = operators.contiguous(x, weight, bias, state, reset, fresh, d_out, d_last)
    library.call("causal_conv_backward", *given, *found, parts, *x.shape, window, silu, operators.kind(x))
    return found


def _backward_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        *(x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape[0])),
        *(state.new_empty(state.shape), state.new_empty(state.shape[1:])),
    )


_GIVEN = "Tensor x, Tensor weight, Tensor? bias, Tensor state, Tensor? reset, Tensor? fresh, bool silu"
operators.register(f"causal_conv({_GIVEN}) -> (Tensor, Tensor)", _forward, _forward_shapes)
operators.register(
    f"causal_conv_backward({_GIVEN}, Tensor d_out, Tensor d_last) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    *(_backward, _backward_shapes),
)
