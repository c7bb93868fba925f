"""The gated delta rule in chunks, exactly: plain differentiable torch, one triangular solve a chunk.

What token t really writes is u_t = beta_t (v_t - S'^T k_t). Given all u, the rule is a linear attention with one decay
per token; inside a chunk u solves (I + A) u = r, with A strictly lower triangular. README.md has the derivation.

B batch  T time  H heads  K key width  V value width  M chunks in time  L chunk length
"""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

CHUNK = 32
"Tokens in a chunk: measured, see README.md."

FORGET = -1e4
"A log decay whose exponential is zero in float32 and float64, yet finite, so that sums with it stay finite."


def plain(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.delta_rule.delta_rule`, all of one floating type; at least one token."""
    time = q.shape[1]
    chunks, length = cuts(time)
    q, k, v = (_cut(tensor, chunks, length) for tensor in (q, k, v))
    beta, decay = (_cut(tensor[..., None], chunks, length) for tensor in (beta, log_decay))

    blocked, starts = decay, None
    if reset is not None:
        # A decay of exactly zero forgets all that came before, without a mask on any large tensor.
        starts = pad(reset, (0, chunks * length - time)).unflatten(1, (chunks, length))
        blocked = decay.masked_fill(starts[:, None, :, :, None], FORGET)
    between = _between(blocked[..., 0])
    since_start = blocked.cumsum(-2).exp()
    to_end = between[..., -1, :, None]

    pairs = torch.cat([q, k], -2) @ k.mT
    read_pairs, write_pairs = (pairs.unflatten(-2, (2, length)) * between[..., None, :, :]).unbind(-3)
    held = (beta * write_pairs).tril(-1)
    own = beta * v
    keep = beta * since_start * k
    if starts is not None and fresh is not None:
        in_later = _since_reset(decay, starts)
        own = own - (beta * in_later) * (k @ fresh[:, None])
    # the diagonal is taken to be one
    solved = torch.linalg.solve_triangular(held, torch.cat([own, keep], -1), upper=False, unitriangular=True)
    own, keep = solved.split([v.shape[-1], k.shape[-1]], -1)

    send, carry = (k * to_end).mT, since_start[..., -1:, :]
    before, written = [], []
    for chunk in range(chunks):
        before.append(state)
        written.append(own[:, :, chunk] - keep[:, :, chunk] @ state)
        state = carry[:, :, chunk] * state + send[:, :, chunk] @ written[-1]
        if starts is not None and fresh is not None:
            state = state + in_later[:, :, chunk, -1:] * fresh
    out = read_pairs @ torch.stack(written, 2) + (since_start * q) @ torch.stack(before, 2)
    if starts is not None and fresh is not None:
        out = out + in_later * (q @ fresh[:, None])
    return out.flatten(2, 3)[:, :, :time].transpose(1, 2), state


def _between(decay: Tensor) -> Tensor:
    """[..., L] to [..., L, L]: exp of the sum of `decay` over s < i <= t, and 0 for s > t."""
    length = decay.shape[-1]
    span, above = spans(length, decay.dtype, decay.device)
    return (decay @ span).unflatten(-1, (length, length)).add(above).exp()


@functools.lru_cache(maxsize=8)
def spans(length: int, kind: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The 0/1 matrix [L, L L] that sums over s < i <= t, and the [L, L] addend that is -inf where s > t."""
    with torch.inference_mode(False):
        place = torch.arange(length, device=device)
        i, t, s = place[:, None, None], place[None, :, None], place[None, None, :]
        span = ((s < i) & (i <= t)).to(kind).flatten(1)
        above = torch.zeros(length, length, dtype=kind, device=device).masked_fill(s[0] > t[0], -torch.inf)
    return span, above


def _since_reset(decay: Tensor, starts: Tensor) -> Tensor:
    """[B, H, M, L, 1]: the decay of `fresh` since the last reset of the chunk, 0 for tokens before the first one."""
    segment = starts.cumsum(-1)
    same = (segment[..., :, None] == segment[..., None, :]).tril()[:, None]
    return (same.to(decay.dtype) @ decay).exp() * (segment > 0)[:, None, :, :, None]


def cuts(time: int) -> tuple[int, int]:
    """How many chunks of how many tokens cover `time` tokens."""
    length = min(CHUNK, time)
    return -(-time // length), length


def _cut(tensor: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T, H, K] to [B, H, M, L, K]; the tail is filled with zeros, which neither decay nor write."""
    missing = chunks * length - tensor.shape[1]
    tensor = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    return tensor.unflatten(1, (chunks, length)).permute(0, 3, 1, 2, 4).contiguous()
