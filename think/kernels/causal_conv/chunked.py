"""Causal convolution over the whole sequence at once: see `_taps.py`, and `_gradient.py` for its gradient by hand.

B batch  T time  C channels  W window (taps)
"""

import torch
from torch import Tensor
from torch.nn.functional import silu

from think.kernels.causal_conv._gradient import Taps
from think.kernels.causal_conv._taps import last_window, plain


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
    if x.shape[1] == 1:
        return _one_token(x, weight, bias, state, reset, fresh, activation)
    outputs = plain if torch.compiler.is_compiling() else Taps.apply
    out = outputs(x, weight, bias, state, reset, fresh, activation)
    return out, last_window(x, state, reset, fresh)


def _one_token(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    """One product with the window, for decoding."""
    if reset is not None:
        state = torch.where(reset[..., None], state.new_zeros(()) if fresh is None else fresh, state)
    window = torch.cat([state, x.mT], -1)
    out = (window * weight).sum(-1)
    out = out if bias is None else out + bias
    return (silu(out) if activation == "silu" else out)[:, None], window[..., 1:]
