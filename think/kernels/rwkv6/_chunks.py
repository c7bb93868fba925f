"""RWKV-6 in chunks, exactly: plain differentiable torch, no exponent above zero, nothing clamped.

Time is cut into chunks; between chunks the state travels, inside a chunk every pair (t, s) of tokens meets once, at the
level of a binary tree where t stands in a right block and s in the left block beside it. The decay between them then
factors at the boundary of the two blocks, and both factors are products of decays, so they lie in [0, 1]. README.md
has the derivation.

B batch  T time  H heads  K key width  V value width  M chunks in time  L chunk length  X = B H M
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

CHUNK = 32
"Tokens in a chunk, a power of two: measured, see README.md."


def plain(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Arguments as `think.kernels.rwkv6.rwkv6`, all of one floating type; at least one token."""
    time = r.shape[1]
    chunks, length = cuts(time)
    r, k, v, log_decay = (_cut(tensor, chunks, length) for tensor in (r, k, v, log_decay))
    segment = None if reset is None else _segments(reset, chunks, length)

    own = (r * k * bonus[:, None, None, :]).sum(-1, keepdim=True) * v
    receive, send, kept, inside = _tree(r, k, v, log_decay.exp(), segment)
    carried = kept[..., None]
    if segment is None:
        written = send.mT @ v
    else:
        still_first = (segment[:, :, -1] == 0)[:, None, :, None, None]
        in_last = (segment == segment[:, :, -1:])[:, None, :, :, None]
        written = send.masked_fill(~in_last, 0.0).mT @ v
        carried = carried * still_first
        if fresh is not None:
            since = (log_decay * in_last).sum(-2)
            written = written + (since.exp()[..., None] * fresh[:, None]) * ~still_first

    before = []
    for carry, write in zip(carried.unbind(2), written.unbind(2), strict=True):
        before.append(state)
        state = carry * state + write
    entering = torch.stack(before, 2)

    if segment is None:
        read = receive @ entering
    else:
        first = (segment == 0)[:, None, :, :, None]
        read = (receive @ entering).masked_fill(~first, 0.0)
        if fresh is not None:
            since = _same_segment_before(segment)[:, None].to(r.dtype) @ log_decay
            read = read + ((r * since.exp()) @ fresh[:, None]).masked_fill(first, 0.0)
    out = (inside + read + own).flatten(2, 3)[:, :, :time]
    return out.transpose(1, 2), state


def _tree(
    r: Tensor, k: Tensor, v: Tensor, decay: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Meet all pairs s < t of each chunk.

    Returns r decayed from the start of its chunk (the decay of t left out), k decayed to the end of its chunk (the
    decay of s left out), the decay over the whole chunk, and what the pairs give to the outputs.
    """
    shape = r.shape[:3]
    length = r.shape[3]
    out = torch.zeros_like(v)
    half = 1
    while half < length:
        pairs = (*shape, length // (2 * half), 2, half)
        r_left, r_right = r.unflatten(3, pairs[3:]).unbind(4)
        k_left, k_right = k.unflatten(3, pairs[3:]).unbind(4)
        out_left, out_right = out.unflatten(3, pairs[3:]).unbind(4)
        v_left = v.unflatten(3, pairs[3:]).select(4, 0)
        d_left, d_right = decay.unflatten(3, pairs[3:5]).unbind(4)
        scores = r_right @ k_left.mT
        if segment is not None:
            s_left, s_right = segment.unflatten(2, pairs[3:]).unbind(3)
            scores = scores.masked_fill((s_right[..., :, None] != s_left[..., None, :])[:, None], 0.0)
        out = torch.stack([out_left, out_right + scores @ v_left], 4).flatten(3, 5)
        r = torch.stack([r_left, r_right * d_left[..., None, :]], 4).flatten(3, 5)
        k = torch.stack([k_left * d_right[..., None, :], k_right], 4).flatten(3, 5)
        decay = d_left * d_right
        half *= 2
    return r, k, decay.squeeze(3), out


def cuts(time: int) -> tuple[int, int]:
    """How many chunks of how many tokens cover `time` tokens."""
    length = min(CHUNK, 1 << (time - 1).bit_length())
    return -(-time // length), length


def _cut(tensor: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T, H, K] to [B, H, M, L, K]; the tail is filled with zeros, which neither decay nor write."""
    missing = chunks * length - tensor.shape[1]
    tensor = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    return tensor.unflatten(1, (chunks, length)).permute(0, 3, 1, 2, 4).contiguous()


def _segments(reset: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T] to [B, M, L]: how many resets a chunk has seen up to and with each token."""
    missing = chunks * length - reset.shape[1]
    reset = pad(reset, (0, missing)) if missing else reset
    return reset.unflatten(1, (chunks, length)).cumsum(-1)


def _same_segment_before(segment: Tensor) -> Tensor:
    """[B, M, L, L]: token i stands before token t, and after or at the last reset up to t."""
    same = segment[..., :, None] == segment[..., None, :]
    return same.tril(-1)
