"""RWKV-6 in chunks, exactly: see `_chunks.py` for the form and `_gradient.py` for its gradient written by hand.

B batch  T time  H heads  K key width  V value width
"""

import torch
from torch import Tensor

from think.kernels.rwkv6._chunks import plain
from think.kernels.rwkv6._gradient import Chunks, Tape


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
    if r.shape[1] == 1:
        return _one_token(r, k, v, log_decay, bonus, state, reset, fresh)
    if torch.compiler.is_compiling():  # a compiler fuses the plain form better than we can
        return plain(r, k, v, log_decay, bonus, state, reset, fresh)
    return Chunks.apply(r, k, v, log_decay, bonus, state, reset, fresh, Tape(torch.is_grad_enabled()))


def _one_token(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The recurrence itself, for decoding."""
    if reset is not None:
        state = torch.where(reset[..., None, None], state.new_zeros(()) if fresh is None else fresh, state)
    receive, send, value = r[:, 0], k[:, 0], v[:, 0]
    own = (receive * bonus * send).sum(-1, keepdim=True) * value
    out = torch.matmul(receive[:, :, None, :], state)[:, :, 0] + own
    return out[:, None], log_decay[:, 0].exp()[..., None] * state + send[..., None] * value[:, :, None, :]
