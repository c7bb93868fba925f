"""SSD, the plain definition: one token after another.

S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T,   y_t = S_t C_t + D x_t

B batch  T time  H heads  P head width  N state width  G groups
"""

import torch
from torch import Tensor


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
    """Arguments as `think.kernels.ssd.ssd`, all of one floating type."""
    repeats = x.shape[2] // B.shape[2]
    outputs = []
    for t in range(x.shape[1]):
        if reset is not None:
            begins = reset[:, t, None, None, None]
            state = torch.where(begins, torch.zeros_like(state) if fresh is None else fresh, state)
        enters = B[:, t].repeat_interleave(repeats, dim=1)[:, :, None, :]
        leaves = C[:, t].repeat_interleave(repeats, dim=1)[:, :, None, :]
        decay = (dt[:, t] * A).exp()[..., None, None]
        state = decay * state + (dt[:, t, :, None] * x[:, t])[..., None] * enters
        outputs.append((state * leaves).sum(-1) + D[:, None] * x[:, t])
    return torch.stack(outputs, 1), state
