"""SSD in C: see `../native/ssd.c`. float32 and bfloat16 on a processor.

The two operators `think::ssd` and `think::ssd_backward` are known to torch, so that torch.compile takes them as they
are. Where a gradient of the gradient may be wanted, and under `vmap`, the plain form of `_chunks.py` runs.

B batch  T time  H heads  P head width  N state width  G groups
"""

from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision, reads_bfloat16
from think.kernels._higher import differentiable_gradient
from think.kernels.native import library, operators
from think.kernels.ssd._chunks import plain

UNIT = "ssd"

CHUNK = 32
"Tokens between the states that forward keeps: CHUNK of native/chunk.h."

LARGEST_BLOCK = 4
"Heads in one task, so that their states stay in the second level cache."

ENOUGH_TASKS = 8
"Tasks that must be left for threads to share."


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


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
    y, last, _ = Native.apply(x, dt, A, B, C, D, state, reset, fresh, torch.is_grad_enabled())
    return y, last


class Native(torch.autograd.Function):
    """The two operators, one the gradient of the other. The third result is what backward needs of forward."""

    @staticmethod
    def forward(
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.think.ssd(x, dt, A, B, C, D, state, reset, fresh, keep)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        kept = output[2]
        ctx.mark_non_differentiable(kept)
        ctx.save_for_backward(*inputs[:-1], kept)

    @staticmethod
    def backward(ctx: Any, d_y: Tensor, d_last: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        *given, kept = ctx.saved_tensors
        with full_precision(d_y.device):
            if torch.is_grad_enabled():
                return (*differentiable_gradient(both, given, ctx.needs_input_grad, (d_y, d_last)), None)
            x, dt, A, B, C, D, _, reset, fresh = given
            *found, d_fresh = torch.ops.think.ssd_backward(x, dt, A, B, C, D, reset, fresh, kept, d_y, d_last)
        return (*found, None, None if reset is None or fresh is None else d_fresh, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, None]]:
        y, last = torch.vmap(both, in_dims[:-1])(*inputs[:-1])
        return (y, last, y.new_empty(0)), (0, 0, None)


def both(
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
    """Outputs and last state, as differentiable torch operations."""
    kind = state.dtype
    y, last = plain(x.to(kind), dt, A, B.to(kind), C.to(kind), D, state, reset, fresh)
    return y.to(x.dtype), last


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
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    y, last, kept = _forward_shapes(x, dt, A, B, C, D, state, reset, fresh, keep)
    given = operators.contiguous(x, dt, A, B, C, D, state, reset, fresh)
    library.call("ssd_forward", *given, y, last, kept if keep else None, *_sizes(x, B))
    return y, last, kept


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
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, heads, width = x.shape
    kept = (batch, heads, -(-time // CHUNK), B.shape[3], width) if keep else (0,)
    return x.new_empty(x.shape), state.new_empty(state.shape), state.new_empty(kept)


def _backward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    d_y: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    batch, time, heads, _ = x.shape
    d_x, d_dt, _, d_B, d_C, _, d_state, _ = _backward_shapes(x, dt, A, B, C, D, reset, fresh, kept, d_y, d_last)
    rates, skips = dt.new_empty((batch, heads)), dt.new_empty((batch, heads))
    begun = None if reset is None or fresh is None else fresh.new_empty((batch, *fresh.shape))
    *sizes, block = _sizes(x, B)
    blocks = dt.new_empty((2, batch, time, heads // block if block < heads // B.shape[2] else 0, B.shape[3]))
    given = operators.contiguous(x, dt, A, B, C, D, reset, fresh, kept, d_y, d_last)
    found = (d_x, d_dt, rates, d_B, d_C, skips, d_state, begun, blocks[0], blocks[1])
    library.call("ssd_backward", *given, *found, *sizes, block)
    d_fresh = dt.new_empty(0) if begun is None else begun.sum(0)
    return d_x, d_dt, rates.sum(0), d_B, d_C, skips.sum(0), d_state, d_fresh


def _backward_shapes(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    kept: Tensor,
    d_y: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, ...]:
    shapes = (tensor.new_empty(tensor.shape) for tensor in (x, dt, A, B, C, D, d_last))
    return (*shapes, dt.new_empty((0,) if reset is None or fresh is None else fresh.shape))


def _sizes(x: Tensor, B: Tensor) -> tuple[int, ...]:
    batch, time, heads, width = x.shape
    groups, size = B.shape[2:]
    return batch, time, heads, groups, width, size, operators.kind(x), _block(batch, heads, heads // groups)


def _block(batch: int, heads: int, shared: int) -> int:
    """Heads of a group in one task; the more, the less is done twice. Of shapes alone, never of the number of threads:
    the gradients of B and C are sums over blocks."""
    fitting = (size for size in range(LARGEST_BLOCK, 1, -1) if shared % size == 0)
    return next((size for size in fitting if batch * heads // size >= ENOUGH_TASKS), 1)


_GIVEN = "Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor D"
operators.register(
    f"ssd({_GIVEN}, Tensor state, Tensor? reset, Tensor? fresh, bool keep) -> (Tensor, Tensor, Tensor)",
    *(_forward, _forward_shapes),
)
operators.register(
    f"ssd_backward({_GIVEN}, Tensor? reset, Tensor? fresh, Tensor kept, Tensor d_y, Tensor d_last)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    *(_backward, _backward_shapes),
)
