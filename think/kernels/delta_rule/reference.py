"""Gated delta rule, the plain definition: one token after another.

S' = exp(log_decay_t) S_{t-1},   S_t = S' + beta_t k_t (v_t - S'^T k_t)^T,   out_t = S_t^T q_t

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor


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
    """Arguments as `think.kernels.delta_rule.delta_rule`, all of one floating type."""
    outputs = []
    for t in range(q.shape[1]):
        if reset is not None:
            begins = reset[:, t, None, None, None]
            state = torch.where(begins, torch.zeros_like(state) if fresh is None else fresh, state)
        key = k[:, t, :, :, None]
        state = log_decay[:, t].exp()[..., None, None] * state
        held = (state * key).sum(-2)
        state = state + key * (beta[:, t, :, None] * (v[:, t] - held))[:, :, None, :]
        outputs.append((state * q[:, t, :, :, None]).sum(-2))
    return torch.stack(outputs, 1), state
