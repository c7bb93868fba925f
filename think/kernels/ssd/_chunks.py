"""SSD in chunks: plain differentiable torch, matrix products instead of a time loop.

Inside a chunk y = (L * C B^T) (dt x) with L_ts = exp(sum of log decays over s < i <= t); between chunks the state
travels. The sums are taken by a product with a constant 0/1 matrix, not as a difference of running sums, so a strong
decay costs no digits; all exponents are at most 0. README.md has the derivation.

B batch  T time  H heads  P head width  N state width  G groups  M chunks in time  Q chunk length
"""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

CHUNK = 64
"Tokens in a chunk: measured, see README.md."

FORGET = -1e4
"A log decay whose exponential is zero in float32 and float64, yet finite, so that sums with it stay finite."


def plain(
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
    """Arguments as `think.kernels.ssd.ssd`, all of one floating type; at least one token."""
    time, groups = x.shape[1], B.shape[2]
    chunks, length = cuts(time)
    skip = D[:, None] * x
    moved = _cut(x * dt[..., None], chunks, length)
    decay = _cut((dt * A)[..., None], chunks, length).squeeze(-1)
    B, C = (_cut(tensor, chunks, length)[:, :, None] for tensor in (B, C))
    moved, decay = moved.unflatten(1, (groups, -1)), decay.unflatten(1, (groups, -1))

    blocked = decay
    begins = None
    if reset is not None:
        # A decay of exactly zero forgets all that came before, without a mask on any large tensor.
        begins = _segments(reset, chunks, length)
        starts = pad(reset, (0, chunks * length - time)).unflatten(1, (chunks, length))[:, None, None]
        blocked = decay.masked_fill(starts, FORGET)
    between = _between(blocked)
    inside = (C @ B.mT * between) @ moved

    since_start = blocked.cumsum(-1)
    to_end = between[..., -1, :]
    written = (moved * to_end[..., None]).mT @ B
    carried = since_start[..., -1].exp()[..., None, None]
    in_later = None
    if begins is not None and fresh is not None:
        fresh = fresh.unflatten(0, (groups, -1))[:, :, None]
        same = (begins[..., :, None] == begins[..., None, :]).tril().to(x.dtype)[:, None, None]
        in_later = (same @ decay[..., None]).exp() * (begins > 0)[:, None, None, :, :, None]
        written = written + in_later[..., -1:, :] * fresh

    state = state.unflatten(1, (groups, -1))
    before = []
    for carry, write in zip(carried.unbind(3), written.unbind(3), strict=True):
        before.append(state)
        state = carry * state + write
    read = (C @ torch.stack(before, 3).mT) * since_start.exp()[..., None]
    if in_later is not None and fresh is not None:
        read = read + (C @ fresh.mT) * in_later
    out = (inside + read).flatten(3, 4)[:, :, :, :time].flatten(1, 2).transpose(1, 2)
    return out + skip, state.flatten(1, 2)


def _between(decay: Tensor) -> Tensor:
    """[..., Q] to [..., Q, Q]: exp of the sum of `decay` over s < i <= t, and 0 for s > t."""
    length = decay.shape[-1]
    span, above = spans(length, decay.dtype, decay.device)
    return (decay @ span).unflatten(-1, (length, length)).add(above).exp()


@functools.lru_cache(maxsize=8)
def spans(length: int, kind: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The 0/1 matrix [Q, Q Q] that sums over s < i <= t, and the [Q, Q] addend that is -inf where s > t."""
    with torch.inference_mode(False):
        place = torch.arange(length, device=device)
        i, t, s = place[:, None, None], place[None, :, None], place[None, None, :]
        span = ((s < i) & (i <= t)).to(kind).flatten(1)
        above = torch.zeros(length, length, dtype=kind, device=device).masked_fill(s[0] > t[0], -torch.inf)
    return span, above


def cuts(time: int) -> tuple[int, int]:
    """How many chunks of how many tokens cover `time` tokens."""
    length = min(CHUNK, time)
    return -(-time // length), length


def _cut(tensor: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T, H, P] to [B, H, M, Q, P]; the tail is filled with zeros, which neither decay nor write."""
    missing = chunks * length - tensor.shape[1]
    tensor = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    return tensor.unflatten(1, (chunks, length)).permute(0, 3, 1, 2, 4).contiguous()


def _segments(reset: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T] to [B, M, Q]: how many resets a chunk has seen up to and with each token."""
    missing = chunks * length - reset.shape[1]
    reset = pad(reset, (0, missing)) if missing else reset
    return reset.unflatten(1, (chunks, length)).cumsum(-1)
