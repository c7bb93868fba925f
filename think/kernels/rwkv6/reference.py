"""RWKV-6, the plain definition: one token after another.

out_t = r_t . (S_{t-1} + diag(bonus) k_t v_t^T),   S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor


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
    """Arguments as `think.kernels.rwkv6.rwkv6`, all of one floating type."""
    outputs = []
    for t in range(r.shape[1]):
        if reset is not None:
            begins = reset[:, t, None, None, None]
            state = torch.where(begins, torch.zeros_like(state) if fresh is None else fresh, state)
        written = k[:, t, :, :, None] * v[:, t, :, None, :]
        outputs.append((r[:, t, :, :, None] * (state + bonus[:, :, None] * written)).sum(-2))
        state = log_decay[:, t].exp()[..., None] * state + written
    return torch.stack(outputs, 1), state
