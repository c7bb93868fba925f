"""Cross-entropy over a vocabulary, from the activations before the logits; no implementation but the reference ever
holds the logits of more than a few rows.

    z = cap tanh(h W^T / cap)   (h W^T without a cap)          p = softmax(z)
    loss_i = -log p_i[target_i]          entropy_i = -sum_v p_iv log p_iv          (nats)
    objective = sum_i weight_i (loss_i - entropy_bonus entropy_i)

The gradient of the objective is found in the same pass as its value:
dz_iv = weight_i (p_iv - [v = target_i] + entropy_bonus p_iv (log p_iv + entropy_i)).

N rows (tokens)   D width   V vocabulary
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def cross_entropy(
    hidden: Float[Tensor, "N D"],
    table: Float[Tensor, "V D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    entropy_bonus: float = 0.0,
    cap: float | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, ""], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The objective, and each row's loss and entropy, which are for the record and carry no gradient.

    hidden and table get gradients, targets and weights none. The products run in the type of hidden and table (under
    autocast in its type); everything else is float32, or float64 if any input is.
    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    (rows, width), vocabulary = hidden.shape, table.shape[0]
    arguments.expect_shape("cross_entropy", "table", table, vocabulary, width)
    arguments.expect_shape("cross_entropy", "targets", targets, rows)
    arguments.expect_shape("cross_entropy", "weights", weights, rows)
    if targets.dtype != torch.int64:
        raise TypeError(f"cross_entropy: targets must be int64, got {targets.dtype}")
    kind = arguments.accumulation_type(hidden, table, weights)
    product = _product_type(hidden, table, kind)
    run = load("cross_entropy", implementation, hidden.device.type, product)
    with arguments.full_precision(hidden.device):
        found: tuple[Tensor, Tensor, Tensor] = run(
            hidden.to(product), table, targets, weights.detach().to(kind), entropy_bonus, cap
        )
        return found


def _product_type(hidden: Tensor, table: Tensor, kind: torch.dtype) -> torch.dtype:
    device = hidden.device.type
    if kind == torch.float32 and device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype if hidden.dtype == table.dtype else kind
