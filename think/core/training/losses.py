"""The loss of a language model, entropy-regularised.

    loss = sum_i w_i (-log p_i[target_i] - bonus * H(p_i)) / sum_i w_i,   H(p) = -sum_v p_v log p_v   (nats)

i runs over every token of a step. The sum of the weights is that of the whole step, not of the micro-batch at hand, so
that accumulating micro-batches adds up to the full batch even where they hold different numbers of scored tokens.

N rows of logits (tokens)   V vocabulary
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# A chunk of float32 logits and its softmax stay under about 64 MB; the result does not depend on it beyond rounding.
_LARGEST_CHUNK = 2**24


@dataclass(frozen=True)
class Loss:
    """`objective` is what is minimised; the other two are detached sums of w_i times nats, for the record."""

    objective: Tensor
    cross_entropy: Tensor
    entropy: Tensor


def token_losses(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Cross-entropy of each token in nats, computed in float32."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def token_entropies(logits: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """Entropy of each predicted distribution in nats, computed in float32."""
    log_probability = torch.log_softmax(logits.float(), dim=-1)
    return -(log_probability.exp() * log_probability).sum(-1)


def language_loss(
    logits: Float[Tensor, "N V"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    total_weight: float,
    entropy_bonus: float,
) -> Loss:
    """The part of a step's loss that these tokens contribute; `total_weight` is that of the whole step.

    entropy_bonus: nats of loss taken off per nat of entropy; 0 skips the entropy altogether.
    """
    rows = max(_LARGEST_CHUNK // logits.shape[-1], 1)
    pieces = list(zip(logits.split(rows), targets.split(rows), weights.split(rows), strict=True))
    if len(pieces) == 1:
        cross_entropy, entropy = _weighted(*pieces[0], entropy_bonus)
    else:
        # Recomputing the softmax of a chunk in the backward pass costs little and keeps only one chunk's in memory.
        parts = [checkpoint(_weighted, *piece, entropy_bonus, use_reentrant=False) for piece in pieces]
        cross_entropy, entropy = (torch.stack(column).sum() for column in zip(*parts, strict=True))
    objective = (cross_entropy - entropy_bonus * entropy) / total_weight
    return Loss(objective, cross_entropy.detach(), entropy.detach())


def _weighted(logits: Tensor, targets: Tensor, weights: Tensor, entropy_bonus: float) -> tuple[Tensor, Tensor]:
    cross_entropy = (token_losses(logits, targets) * weights).sum()
    if entropy_bonus == 0:
        return cross_entropy, torch.zeros_like(cross_entropy)
    return cross_entropy, (token_entropies(logits) * weights).sum()
