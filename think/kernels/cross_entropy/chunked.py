"""Cross-entropy in chunks of rows: value and gradient of a chunk are found while its logits are in the caches.

R rows of a chunk   D width   V vocabulary
"""

import torch
from torch import Tensor

from think.kernels.cross_entropy._chunks import Chunks, Rows
from think.kernels.cross_entropy.reference import run as plain


def run(
    hidden: Tensor, table: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float, cap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Arguments as in `reference.py`."""
    if torch.compiler.is_compiling():  # a compiler fuses the plain form better than we can
        return plain(hidden, table, targets, weights, entropy_bonus, cap)
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or table.requires_grad)
    objective, losses, entropies, _, _ = Chunks.apply(
        hidden, table, targets, weights, entropy_bonus, cap, wanted, rows_of
    )
    return objective, losses, entropies


def rows_of(
    logits: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float, cap: float | None, wanted: bool
) -> Rows:
    """Losses and entropies of the rows of a chunk, and the gradient of its logits, which are consumed."""
    scores = logits.to(weights.dtype)
    if cap is not None:
        scores = torch.tanh(scores / cap).mul_(cap)
    at_target = scores.gather(1, targets[:, None])
    probability = torch.softmax(scores, dim=-1)
    # of the largest score m, log p = m - log sum: neither of the two can underflow
    log_sum = scores.amax(-1, keepdim=True) - probability.amax(-1, keepdim=True).log()
    entropies = log_sum - torch.linalg.vecdot(probability, scores)[:, None]
    losses = log_sum - at_target
    if not wanted:
        return losses.squeeze(1), entropies.squeeze(1), logits
    slope = probability
    if entropy_bonus:
        slope = probability * (1 + entropy_bonus * (scores - log_sum + entropies))
    slope.mul_(weights[:, None]).scatter_add_(1, targets[:, None], -weights[:, None])
    if cap is not None:
        slope.mul_(scores.div_(cap).square_().neg_().add_(1))
    return losses.squeeze(1), entropies.squeeze(1), slope.to(logits.dtype)
