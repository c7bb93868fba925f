"""RWKV-6 in C: see `../native/rwkv6.c`. float32 and bfloat16 on a processor.

The operators `think::rwkv6` and `think::rwkv6_backward` are known to torch, so that torch.compile takes them as they
are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_chunks.py` runs.

B batch  T time  H heads  K key width  V value width
"""

from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.native import library, operators
from think.kernels.rwkv6._chunks import plain

UNIT = "rwkv6"
NARROW = True
"bfloat16 inputs are read as they are"

SEGMENT = 64
"Tokens between two states that forward keeps for backward; SEGMENT in rwkv6.c."


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


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
    out, last, _ = Native.apply(r, k, v, log_decay, bonus, state, reset, fresh, torch.is_grad_enabled())
    return out, last


class Native(torch.autograd.Function):
    """The two operators, one the gradient of the other."""

    @staticmethod
    def forward(
        r: Tensor,
        k: Tensor,
        v: Tensor,
        log_decay: Tensor,
        bonus: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.think.rwkv6(r, k, v, log_decay, bonus, state, reset, fresh, keep)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[2])
        ctx.set_materialize_grads(True)
        ctx.save_for_backward(*inputs[:-1], output[2])

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_last: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        *given, kept = ctx.saved_tensors
        with full_precision(d_out.device):
            if torch.is_grad_enabled():
                wanted = ctx.needs_input_grad
                return (*differentiable_gradient(mixed, given, wanted, (d_out, d_last)), None)
            found = torch.ops.think.rwkv6_backward(*given, kept, d_out, d_last)
        reset, fresh = given[6:]
        return (*found[:6], None, None if reset is None or fresh is None else found[6], None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, None]]:
        out, last = torch.vmap(mixed, in_dims[:-1])(*inputs[:-1])
        return (out, last, last.new_empty(0)), (0, 0, None)


def mixed(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The plain form for inputs of mixed types."""
    wide = state.dtype
    out, last = plain(r.to(wide), k.to(wide), v.to(wide), log_decay.to(wide), bonus, state, reset, fresh)
    return out.to(v.dtype), last


def _sizes(r: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> tuple[int, ...]:
    return (*r.shape, v.shape[-1], *map(operators.kind, (r, k, v, log_decay)))


def _forward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    found = _forward_shapes(r, k, v, log_decay, bonus, state, reset, fresh, keep)
    given = operators.contiguous(r, k, v, log_decay, bonus, state, reset, fresh)
    out, last, kept = found
    library.call("rwkv6_forward", *given, out, last, kept if keep else None, *_sizes(r, k, v, log_decay))
    return found


def _forward_shapes(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, key, value = state.shape
    kept = (r.shape[1] - 1) // SEGMENT if keep else 0
    return v.new_empty(v.shape), state.new_empty(state.shape), state.new_empty((batch, heads, kept, key, value))


def _backward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    found = _backward_shapes(r, k, v, log_decay, bonus, state, reset, fresh, kept, d_out, d_last)
    given = operators.contiguous(r, k, v, log_decay, bonus, state, reset, fresh, kept, d_out, d_last)
    batch, heads, key, value = state.shape
    parts = state.new_empty((batch, heads, key + key * value))
    library.call("rwkv6_backward", *given, *found, parts, *_sizes(r, k, v, log_decay))
    return found


def _backward_shapes(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    like = (r, k, v, log_decay, bonus, state)
    return (*(tensor.new_empty(tensor.shape) for tensor in like), state.new_empty(state.shape[1:]))


_GIVEN = "Tensor r, Tensor k, Tensor v, Tensor log_decay, Tensor bonus, Tensor state, Tensor? reset, Tensor? fresh, "
operators.register(f"rwkv6({_GIVEN}bool keep) -> (Tensor, Tensor, Tensor)", _forward, _forward_shapes)
operators.register(
    f"rwkv6_backward({_GIVEN}Tensor kept, Tensor d_out, Tensor d_last) -> ({', '.join(['Tensor'] * 7)})",
    *(_backward, _backward_shapes),
)
