"""Cross-entropy, the plain definition: all logits at once.

N rows (tokens)   D width   V vocabulary
"""

import torch
from torch import Tensor


def run(
    hidden: Tensor, table: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float, cap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Arguments as `think.kernels.cross_entropy.cross_entropy`; the products in the type of hidden, the rest in that of
    the weights."""
    logits = (hidden @ table.to(hidden.dtype).T).to(weights.dtype)
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    log_probability = torch.log_softmax(logits, dim=-1)
    losses = -log_probability.gather(1, targets[:, None]).squeeze(1)
    entropies = -(log_probability.exp() * log_probability).sum(-1)
    objective = (weights * (losses - entropy_bonus * entropies)).sum()
    return objective, losses.detach(), entropies.detach()
