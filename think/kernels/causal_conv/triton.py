"""Causal convolution in Triton: see `../triton/causal_conv.py`. float32 and bfloat16 on CUDA devices.

The operators `think::causal_conv_triton` and `think::causal_conv_triton_backward` are known to torch, so that
torch.compile takes them as they are; the last window is a slice, taken by torch. Where a gradient of the gradient may
be wanted, and under `vmap`, the plain form of `_taps.py` runs.

B batch  T time  C channels  W window (taps)
"""

import torch
from torch import Tensor

from think.kernels.causal_conv._taps import last_window
from think.kernels.causal_conv.native import both
from think.kernels.native.function import function
from think.kernels.triton import available, operators

NARROW = True
"bfloat16 inputs are read as they are"

lacks = available.lacks


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
    out, last = _apply(x, weight, bias, state, reset, fresh, activation)
    return out, last


def _whole(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    out = torch.ops.think.causal_conv_triton(x, weight, bias, state, reset, fresh, activation == "silu")
    return out, _window(_tail(x, state), state, fresh, reset).clone()


def _gradient(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
    slopes: tuple[Tensor, Tensor],
) -> tuple[Tensor | None, ...]:
    d_out, d_last = slopes
    d_x, d_weight, d_bias, d_state, d_fresh = torch.ops.think.causal_conv_triton_backward(
        x, weight, bias, state, reset, fresh, activation == "silu", d_out
    )
    used = reset is not None and fresh is not None
    if state.shape[2]:
        tail = _tail(x, state)
        leaves = (tail, state, fresh) if used else (tail, state)

        def window(tail: Tensor, state: Tensor, fresh: Tensor | None = None) -> Tensor:
            return _window(tail, state, fresh, reset)

        pull = torch.func.vjp(window, *leaves)[1]
        d_tail, d_entered, *d_began = pull(d_last)
        d_x[:, -tail.shape[1] :] += d_tail.to(d_x.dtype)
        d_state = d_state + d_entered
        d_fresh = d_fresh + d_began[0] if used else d_fresh
    return d_x, d_weight, None if bias is None else d_bias, d_state, None, d_fresh if used else None, None


def _tail(x: Tensor, state: Tensor) -> Tensor:
    """The last tokens, those that the last window can hold."""
    return x[:, max(x.shape[1] - state.shape[2], 0) :].to(state.dtype)


def _window(tail: Tensor, state: Tensor, fresh: Tensor | None, reset: Tensor | None) -> Tensor:
    near = None if reset is None else reset[:, reset.shape[1] - tail.shape[1] :]
    return last_window(tail, state, near if tail.shape[1] else None, fresh)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
) -> Tensor:
    from think.kernels.triton import causal_conv

    return causal_conv.forward(x, weight, bias, state, reset, fresh, silu)


def _forward_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
) -> Tensor:
    return x.new_empty(x.shape)


def _backward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
    d_out: Tensor,
) -> tuple[Tensor, ...]:
    from think.kernels.triton import causal_conv

    return causal_conv.backward(x, weight, bias, state, reset, fresh, silu, d_out)


def _backward_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
    d_out: Tensor,
) -> tuple[Tensor, ...]:
    found = (x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape[0]))
    used = reset is not None and fresh is not None
    return (*found, state.new_empty(state.shape), state.new_empty(state.shape[1:] if used else (0,)))


_GIVEN = "Tensor x, Tensor weight, Tensor? bias, Tensor state, Tensor? reset, Tensor? fresh, bool silu"
operators.register(f"causal_conv_triton({_GIVEN}) -> Tensor", _forward, _forward_shapes)
operators.register(
    f"causal_conv_triton_backward({_GIVEN}, Tensor d_out) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    *(_backward, _backward_shapes),
)
_apply = function(both, _whole, _gradient)
