"""The gated delta rule in C: see `../native/delta_rule.c`. float32 and bfloat16 on a processor.

The two operators `think::delta_rule` and `think::delta_rule_backward` are known to torch, so that torch.compile takes
them as they are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_chunks.py` runs.

B batch  T time  H heads  K key width  V value width
"""

from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision, reads_bfloat16
from think.kernels._higher import differentiable_gradient
from think.kernels.delta_rule._chunks import plain
from think.kernels.native import library, operators

UNIT = "delta_rule"

CHUNK = 32
"Tokens between the states that forward keeps: CHUNK of native/chunk.h."


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


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
    out, last, _, _ = Native.apply(q, k, v, beta, log_decay, state, reset, fresh, torch.is_grad_enabled())
    return out, last


class Native(torch.autograd.Function):
    """The two operators, one the gradient of the other. Later results are what backward needs of forward."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        beta: Tensor,
        log_decay: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return torch.ops.think.delta_rule(q, k, v, beta, log_decay, state, reset, fresh, keep)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(*inputs[:-1], *output[2:])

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_last: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        *given, kept, written = ctx.saved_tensors
        with full_precision(d_out.device):
            if torch.is_grad_enabled():
                return (*differentiable_gradient(both, given, ctx.needs_input_grad, (d_out, d_last)), None)
            *tensors, _state, reset, fresh = given
            *found, d_fresh = torch.ops.think.delta_rule_backward(
                *(*tensors, reset, fresh, kept, written, d_out, d_last)
            )
        return (*found, None, None if reset is None or fresh is None else d_fresh, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], tuple[int, int, None, None]]:
        out, last = torch.vmap(both, in_dims[:-1])(*inputs[:-1])
        return (out, last, out.new_empty(0), out.new_empty(0)), (0, 0, None, None)


def both(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state, as differentiable torch operations."""
    kind = state.dtype
    out, last = plain(q.to(kind), k.to(kind), v.to(kind), beta, log_decay, state, reset, fresh)
    return out.to(v.dtype), last


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out, last, kept, written = _forward_shapes(q, k, v, beta, log_decay, state, reset, fresh, keep)
    given = operators.contiguous(q, k, v, beta, log_decay, state, reset, fresh)
    tape = (kept, written) if keep else (None, None)
    library.call("delta_rule_forward", *given, out, last, *tape, *q.shape, v.shape[3], operators.kind(v))
    return out, last, kept, written


def _forward_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, time, heads, key = q.shape
    kept = (batch, heads, -(-time // CHUNK), key, v.shape[3]) if keep else (0,)
    written = v.shape if keep else (0,)
    return v.new_empty(v.shape), state.new_empty(state.shape), state.new_empty(kept), state.new_empty(written)


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    written: Tensor,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    given = (q, k, v, beta, log_decay, reset, fresh, kept, written, d_out, d_last)
    *found, d_fresh = _backward_shapes(*given)
    begun = None if reset is None or fresh is None else fresh.new_empty((q.shape[0], *fresh.shape))
    sizes = (*q.shape, v.shape[3], operators.kind(v))
    library.call("delta_rule_backward", *operators.contiguous(*given), *found, begun, *sizes)
    return (*found, d_fresh if begun is None else begun.sum(0))


def _backward_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    written: Tensor,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    shapes = (tensor.new_empty(tensor.shape) for tensor in (q, k, v, beta, log_decay, d_last))
    return (*shapes, beta.new_empty((0,) if reset is None or fresh is None else fresh.shape))


_GIVEN = "Tensor q, Tensor k, Tensor v, Tensor beta, Tensor log_decay"
operators.register(
    f"delta_rule({_GIVEN}, Tensor state, Tensor? reset, Tensor? fresh, bool keep) -> (Tensor, Tensor, Tensor, Tensor)",
    *(_forward, _forward_shapes),
)
operators.register(
    f"delta_rule_backward({_GIVEN}, Tensor? reset, Tensor? fresh, Tensor kept, Tensor written, Tensor d_out,"
    " Tensor d_last) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    *(_backward, _backward_shapes),
)
