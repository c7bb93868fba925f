"""SSD in chunks: see `_chunks.py` for the form and `_gradient.py` for its gradient written by hand.

B batch  T time  H heads  P head width  N state width  G groups
"""

import torch
from torch import Tensor

from think.kernels.ssd._chunks import plain
from think.kernels.ssd._gradient import Chunks, Tape


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
    if x.shape[1] == 1:
        return _one_token(x, dt, A, B, C, D, state, reset, fresh)
    if torch.compiler.is_compiling():  # a compiler fuses the plain form better than we can
        return plain(x, dt, A, B, C, D, state, reset, fresh)
    return Chunks.apply(x, dt, A, B, C, D, state, reset, fresh, Tape(torch.is_grad_enabled()))


def _one_token(
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
    """The recurrence itself, for decoding."""
    if reset is not None:
        state = torch.where(reset[..., None, None], state.new_zeros(()) if fresh is None else fresh, state)
    groups = B.shape[2]
    now, step = x[:, 0], dt[:, 0]
    enters = (step[..., None] * now).unflatten(1, (groups, -1))[..., None] * B[:, 0, :, None, None, :]
    state = (step * A).exp()[..., None, None] * state + enters.flatten(1, 2)
    read = (state.unflatten(1, (groups, -1)) @ C[:, 0, :, None, :, None]).flatten(1, 2).squeeze(-1)
    return (read + D[:, None] * now)[:, None], state
