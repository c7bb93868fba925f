"""The loop over chunks of rows, and the gradient that comes out of it.

The gradients of hidden and table are made in the forward pass, for an objective whose own gradient is 1, and multiplied
by what it really is in the backward pass. Where a gradient of the gradient may be wanted, and under `vmap`, the plain
form runs instead.

N rows   R rows of a chunk   D width   V vocabulary
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.cross_entropy.reference import run as plain

LARGEST = 2**20
"Logits of a chunk: 4 MiB, which stays in the caches of a processor."
FEWEST_ROWS = 64
"Rows of a chunk at least: with fewer, reading the table costs more than the products."

Rows = tuple[Tensor, Tensor, Tensor]
"losses [R], entropies [R], gradient of the logits [R, V]"
RowsOf = Callable[[Tensor, Tensor, Tensor, float, float | None, bool], Rows]
"logits [R, V] (may be consumed), targets [R], weights [R], entropy_bonus, cap, whether a gradient is wanted"
Found = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"objective, losses [N], entropies [N], gradients of hidden [N, D] and table [V, D] (empty unless wanted)"


def chunks(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Tensor,
    entropy_bonus: float,
    cap: float | None,
    wanted: bool,
    rows_of: RowsOf,
) -> Found:
    """Value and gradients, one chunk of rows after the other."""
    count, size = hidden.shape[0], max(LARGEST // table.shape[0], FEWEST_ROWS)
    low = table.to(hidden.dtype)
    losses, entropies = weights.new_empty(count), weights.new_empty(count)
    d_hidden = torch.empty_like(hidden) if wanted else hidden.new_empty(0)
    d_table = torch.zeros_like(table, dtype=weights.dtype) if wanted else table.new_empty(0)
    buffer = hidden.new_empty(min(size, count), table.shape[0])
    for start in range(0, count, size):
        here = slice(start, min(start + size, count))
        logits = torch.mm(hidden[here], low.T, out=buffer[: here.stop - start])
        losses[here], entropies[here], slope = rows_of(logits, targets[here], weights[here], entropy_bonus, cap, wanted)
        if not wanted:
            continue
        torch.mm(slope, low, out=d_hidden[here])
        if slope.dtype == d_table.dtype:
            d_table.addmm_(slope.T, hidden[here])
        else:
            d_table.add_(slope.T @ hidden[here])
    objective = torch.dot(weights, losses - entropy_bonus * entropies if entropy_bonus else losses)
    return objective, losses, entropies, d_hidden, d_table.to(table.dtype)


class Chunks(torch.autograd.Function):
    """`chunks`, differentiable in its objective."""

    @staticmethod
    def forward(
        hidden: Tensor,
        table: Tensor,
        targets: Tensor,
        weights: Tensor,
        entropy_bonus: float,
        cap: float | None,
        wanted: bool,
        rows_of: RowsOf,
    ) -> Found:
        return chunks(hidden, table, targets, weights, entropy_bonus, cap, wanted, rows_of)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Found) -> None:
        *given, ctx.entropy_bonus, ctx.cap, _, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, *output[3:])

    @staticmethod
    def backward(ctx: Any, d_objective: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, d_hidden, d_table = ctx.saved_tensors
        if d_objective is None:
            return (None,) * 8
        with full_precision(d_objective.device):
            if torch.is_grad_enabled():
                arguments = (*given, ctx.entropy_bonus, ctx.cap)
                wanted = ctx.needs_input_grad[:6]
                return (*differentiable_gradient(_objective, arguments, wanted, d_objective), None, None)
            return (d_hidden * d_objective, d_table * d_objective, *(None,) * 6)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        *given, _, _ = inputs
        found = torch.vmap(plain, in_dims[:6])(*given)
        empty = given[0].new_empty(0)
        return (*found, empty, empty), (0, 0, 0, None, None)


def _objective(*arguments: Any) -> Tensor:
    return plain(*arguments)[0]
