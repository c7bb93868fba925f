"""The gated delta rule in Triton: see `../triton/delta_rule.py`. float32 and bfloat16 on CUDA devices.

The operators `think::delta_rule_triton` and `think::delta_rule_triton_backward` are known to torch, so that
torch.compile takes them as they are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form
of `_chunks.py` runs.

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor

from think.kernels._arguments import reads_bfloat16
from think.kernels.delta_rule.native import both
from think.kernels.native.function import function
from think.kernels.triton import available, operators

lacks = available.lacks


@reads_bfloat16
def run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.delta_rule.delta_rule`; q, k, v all float32 or all bfloat16, the others float32."""
    out, last = _apply(q, k, v, beta, log_decay, state, reset, fresh)
    return out, last


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    from think.kernels.triton import delta_rule

    return delta_rule.forward(q, k, v, beta, log_decay, state, reset, fresh)


def _forward_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), state.new_empty(state.shape)


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    from think.kernels.triton import delta_rule_backward

    return delta_rule_backward.backward(q, k, v, beta, log_decay, state, reset, fresh, d_out, d_last)


def _backward_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    found = (tensor.new_empty(tensor.shape) for tensor in (q, k, v, beta, log_decay, state))
    return (*found, state.new_empty((0,) if reset is None or fresh is None else fresh.shape))


def _gradient(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    slopes: tuple[Tensor, Tensor],
) -> tuple[Tensor | None, ...]:
    given = (q, k, v, beta, log_decay, state, reset, fresh)
    *found, d_fresh = torch.ops.think.delta_rule_triton_backward(*given, *slopes)
    return (*found, None, None if reset is None or fresh is None else d_fresh)


_GIVEN = "Tensor q, Tensor k, Tensor v, Tensor beta, Tensor log_decay, Tensor state, Tensor? reset, Tensor? fresh"
operators.register(f"delta_rule_triton({_GIVEN}) -> (Tensor, Tensor)", _forward, _forward_shapes)
operators.register(
    f"delta_rule_triton_backward({_GIVEN}, Tensor d_out, Tensor d_last) -> ({', '.join(['Tensor'] * 7)})",
    *(_backward, _backward_shapes),
)
_apply = function(both, torch.ops.think.delta_rule_triton, _gradient)
