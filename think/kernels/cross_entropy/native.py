"""Cross-entropy in chunks of rows, the rows in C: see `../native/cross_entropy.c`. float32 and bfloat16 on a processor.

The operator `think::cross_entropy` is known to torch, so that torch.compile takes it as it is.

R rows of a chunk   D width   V vocabulary
"""

from typing import Any

import torch
from torch import Tensor

from think.kernels.cross_entropy._chunks import Chunks, Found, Rows, chunks
from think.kernels.native import library, operators

UNIT = "cross_entropy"


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with products of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def run(
    hidden: Tensor, table: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float, cap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Arguments as in `reference.py`."""
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or table.requires_grad)
    objective, losses, entropies, _, _ = Native.apply(
        hidden, table, targets, weights, entropy_bonus, cap, wanted, rows_of
    )
    return objective, losses, entropies


class Native(Chunks):
    """`chunks` with rows in C, as one operator."""

    @staticmethod
    def forward(
        hidden: Tensor,
        table: Tensor,
        targets: Tensor,
        weights: Tensor,
        entropy_bonus: float,
        cap: float | None,
        wanted: bool,
        rows_of: Any,
    ) -> Found:
        found: Found = torch.ops.think.cross_entropy(hidden, table, targets, weights, entropy_bonus, cap, wanted)
        return found


def rows_of(
    logits: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float, cap: float | None, wanted: bool
) -> Rows:
    """Losses and entropies of the rows of a chunk, and the gradient of its logits in their place."""
    losses, entropies = torch.empty_like(weights), torch.empty_like(weights)
    library.call(
        "cross_entropy_rows",
        *(logits, *operators.contiguous(targets, weights), losses, entropies, *logits.shape),
        *(float(entropy_bonus), float(cap or 0.0), wanted, operators.kind(logits)),
    )
    return losses, entropies, logits


def _run(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Tensor,
    entropy_bonus: float,
    cap: float | None,
    wanted: bool,
) -> Found:
    if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < table.shape[0]:
        raise IndexError(f"cross_entropy: targets must lie in 0 to {table.shape[0] - 1}")
    return chunks(hidden, table, targets, weights, entropy_bonus, cap, wanted, rows_of)


def _shapes(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Tensor,
    entropy_bonus: float,
    cap: float | None,
    wanted: bool,
) -> Found:
    rows = weights.new_empty(weights.shape)
    gradients = (hidden.new_empty(hidden.shape), table.new_empty(table.shape))
    if not wanted:
        gradients = (hidden.new_empty(0), table.new_empty(0))
    return weights.new_empty(()), rows, torch.empty_like(rows), *gradients


operators.register(
    "cross_entropy(Tensor hidden, Tensor table, Tensor targets, Tensor weights, float entropy_bonus, float? cap, "
    "bool wanted) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    *(_run, _shapes),
)
