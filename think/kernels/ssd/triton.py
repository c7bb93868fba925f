"""SSD in Triton: see `../triton/ssd.py`. float32 and bfloat16 on CUDA devices.

The operators `think::ssd_triton` and `think::ssd_triton_backward` are known to torch, so that torch.compile takes them
as they are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_chunks.py` runs.

B batch  T time  H heads  P head width  N state width  G groups
"""

import torch
from torch import Tensor

from think.kernels._arguments import reads_bfloat16
from think.kernels.native.function import function
from think.kernels.ssd.native import both
from think.kernels.triton import available, operators

lacks = available.lacks


@reads_bfloat16
def run(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.ssd.ssd`; x, B and C all float32 or all bfloat16, the others float32."""
    out, last = _apply(x, dt, A, B, C, D, state, reset, fresh)
    return out, last


def _forward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    from think.kernels.triton import ssd

    return ssd.forward(x, dt, A, B, C, D, state, reset, fresh)


def _forward_shapes(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), state.new_empty(state.shape)


def _backward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    from think.kernels.triton import ssd_backward

    return ssd_backward.backward(x, dt, A, B, C, D, state, reset, fresh, d_out, d_last)


def _backward_shapes(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    found = (tensor.new_empty(tensor.shape) for tensor in (x, dt, A, B, C, D, state))
    return (*found, state.new_empty((0,) if reset is None or fresh is None else fresh.shape))


def _gradient(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    slopes: tuple[Tensor, Tensor],
) -> tuple[Tensor | None, ...]:
    *found, d_fresh = torch.ops.think.ssd_triton_backward(x, dt, A, B, C, D, state, reset, fresh, *slopes)
    return (*found, None, None if reset is None or fresh is None else d_fresh)


_GIVEN = "Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor D, Tensor state, Tensor? reset, Tensor? fresh"
operators.register(f"ssd_triton({_GIVEN}) -> (Tensor, Tensor)", _forward, _forward_shapes)
operators.register(
    f"ssd_triton_backward({_GIVEN}, Tensor d_out, Tensor d_last) -> ({', '.join(['Tensor'] * 8)})",
    *(_backward, _backward_shapes),
)
_apply = function(both, torch.ops.think.ssd_triton, _gradient)
