"""RWKV-6 in Triton: see `../triton/rwkv6.py`. float32 and bfloat16 on CUDA devices.

The operators `think::rwkv6_triton` and `think::rwkv6_triton_backward` are known to torch, so that torch.compile takes
them as they are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_chunks.py` runs.

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor

from think.kernels.native.function import function
from think.kernels.rwkv6.native import mixed
from think.kernels.triton import available, operators

NARROW = True
"bfloat16 inputs are read as they are"

lacks = available.lacks


def run(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.rwkv6.rwkv6`; those with a time axis float32 or bfloat16, the others float32."""
    out, last = _apply(r, k, v, log_decay, bonus, state, reset, fresh)
    return out, last


def _forward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    from think.kernels.triton import rwkv6

    return rwkv6.forward(r, k, v, log_decay, bonus, state, reset, fresh)


def _forward_shapes(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), state.new_empty(state.shape)


def _backward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    from think.kernels.triton import rwkv6_backward

    return rwkv6_backward.backward(r, k, v, log_decay, bonus, state, reset, fresh, d_out, d_last)


def _backward_shapes(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    found = (tensor.new_empty(tensor.shape) for tensor in (r, k, v, log_decay, bonus, state))
    return (*found, state.new_empty((0,) if reset is None or fresh is None else fresh.shape))


def _gradient(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    slopes: tuple[Tensor, Tensor],
) -> tuple[Tensor | None, ...]:
    *found, d_fresh = torch.ops.think.rwkv6_triton_backward(*(r, k, v, log_decay, bonus, state, reset, fresh), *slopes)
    return (*found, None, None if reset is None or fresh is None else d_fresh)


_GIVEN = "Tensor r, Tensor k, Tensor v, Tensor log_decay, Tensor bonus, Tensor state, Tensor? reset, Tensor? fresh"
operators.register(f"rwkv6_triton({_GIVEN}) -> (Tensor, Tensor)", _forward, _forward_shapes)
operators.register(
    f"rwkv6_triton_backward({_GIVEN}, Tensor d_out, Tensor d_last) -> ({', '.join(['Tensor'] * 7)})",
    *(_backward, _backward_shapes),
)
_apply = function(mixed, torch.ops.think.rwkv6_triton, _gradient)
