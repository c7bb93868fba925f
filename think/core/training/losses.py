"""The loss of a language model, entropy-regularised.

    loss = sum_i w_i (-log p_i[target_i] - bonus * H(p_i)) / sum_i w_i,   H(p) = -sum_v p_v log p_v   (nats)

i runs over every token of a step. The sum of the weights is that of the whole step, not of the micro-batch at hand, so
that accumulating micro-batches adds up to the full batch even where they hold different numbers of scored tokens.

B batch   T time   D width
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from think.core.models.thinking import Thinking


@dataclass(frozen=True)
class Loss:
    """`objective` is what is minimised; the other two are detached sums of w_i times nats, for the record."""

    objective: Tensor
    cross_entropy: Tensor
    entropy: Tensor


def language_loss(
    model: Thinking,
    hidden: Float[Tensor, "B T D"],
    targets: Int[Tensor, "B T"],
    weights: Float[Tensor, "B T"],
    *,
    total_weight: float,
    entropy_bonus: float,
) -> Loss:
    """The part of a step's loss that these tokens contribute; `total_weight` is that of the whole step.

    hidden: what `model.hidden` gave.   entropy_bonus: nats of loss taken off per nat of entropy.
    """
    objective, losses, entropies = model.cross_entropy(hidden, targets, weights, entropy_bonus)
    shares = weights.flatten()
    return Loss(objective / total_weight, (losses * shares).sum(), (entropies * shares).sum())
