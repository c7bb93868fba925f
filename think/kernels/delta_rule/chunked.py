"""The gated delta rule in chunks: see `_chunks.py` for the form and `_gradient.py` for its gradient written by hand.

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor

from think.kernels.delta_rule._chunks import plain
from think.kernels.delta_rule._gradient import Chunks, Tape


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
    if q.shape[1] == 1:
        return _one_token(q, k, v, beta, log_decay, state, reset, fresh)
    if torch.compiler.is_compiling():  # a compiler fuses the plain form better than we can
        return plain(q, k, v, beta, log_decay, state, reset, fresh)
    return Chunks.apply(q, k, v, beta, log_decay, state, reset, fresh, Tape(torch.is_grad_enabled()))


def _one_token(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The recurrence itself, for decoding."""
    if reset is not None:
        state = torch.where(reset[..., None, None], state.new_zeros(()) if fresh is None else fresh, state)
    key = k[:, 0, :, None, :]
    state = log_decay[:, 0].exp()[..., None, None] * state
    written = beta[:, 0, :, None, None] * (v[:, 0, :, None, :] - key @ state)
    state = state + key.mT * written
    return (q[:, 0, :, None, :] @ state)[:, None, :, 0], state
