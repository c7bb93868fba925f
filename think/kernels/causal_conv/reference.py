"""Causal convolution, the plain definition: one token after another, the window as a state.

out_t = activation(bias + sum_j weight[:, j] window_t[:, j]),   window_t = the last W inputs, this one included

B batch  T time  C channels  W window (taps)
"""

import torch
from torch import Tensor


def run(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.causal_conv.causal_conv`, all of one floating type."""
    outputs = []
    for t in range(x.shape[1]):
        if reset is not None:
            state = torch.where(reset[:, t, None, None], torch.zeros_like(state) if fresh is None else fresh, state)
        window = torch.cat([state, x[:, t, :, None]], -1)
        out = (window * weight).sum(-1)
        out = out if bias is None else out + bias
        outputs.append(torch.nn.functional.silu(out) if activation == "silu" else out)
        state = window[..., 1:]
    return torch.stack(outputs, 1), state
