"""RWKV-6 in chunks, in Triton: the gradient of rwkv6.py. States are computed again, so that forward keeps nothing.

B batch  T time  H heads  K key width  V value width  M chunks  L chunk length
"""

import triton
import triton.language as tl
from torch import Tensor

from think.kernels.triton.available import empty
from think.kernels.triton.parts import bounded, dot, matrix_places, segments, token_places
from think.kernels.triton.rwkv6 import CHUNK, LEVELS, entering, level_parts, pair_scores, tiles, window_decays
from think.kernels.triton.scan import scan


@triton.jit
def _reads(
    r: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    d_out: tl.tensor,
    d_states: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """The gradient of the state that entered a chunk, as far as its own outputs go."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    read = tl.load(r + keys, mask=keys_in, other=0.0).to(tl.float32)
    slope = tl.load(d_out + values, mask=values_in, other=0.0).to(tl.float32)
    decay = bounded(tl.load(decays + keys, mask=keys_in, other=0.0).to(tl.float32))
    segment = segments(reset, row, first, time, L)
    since, _, _ = window_decays(decay, segment, L)
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, key, value, K, V)
    found = dot(tl.trans(tl.where((segment == 0)[:, None], read * since, 0.0)), slope)
    tl.store(d_states + at, found, mask=inside)


@triton.jit
def _gradients(
    r: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    decays: tl.tensor,
    bonus: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    states: tl.tensor,
    d_states: tl.tensor,
    d_out: tl.tensor,
    d_r: tl.tensor,
    d_k: tl.tensor,
    d_v: tl.tensor,
    d_decays: tl.tensor,
    d_bonus: tl.tensor,
    d_fresh: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    LEVELS: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """Gradients of the inputs of a chunk, from those of its outputs and of the state that left it."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    place = sequence * tl.num_programs(0) + chunk
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    at, inside = matrix_places(place, key, value, K, V)
    channel = tl.arange(0, K)
    read = tl.load(r + keys, mask=keys_in, other=0.0).to(tl.float32)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    given = tl.load(v + values, mask=values_in, other=0.0).to(tl.float32)
    slope = tl.load(d_out + values, mask=values_in, other=0.0).to(tl.float32)
    decay = bounded(tl.load(decays + keys, mask=keys_in, other=0.0).to(tl.float32))
    own = tl.load(bonus + head * key + channel, mask=channel < key, other=0.0)
    state = tl.load(states + at, mask=inside, other=0.0)
    d_leaving = tl.load(d_states + at, mask=inside, other=0.0)

    segment = segments(reset, row, first, time, L)
    enters = (segment == 0)[:, None]
    leaves = (segment == tl.max(segment, 0))[:, None]
    through = tl.max(segment, 0) == 0
    since, end, total = window_decays(decay, segment, L)

    # the states before and after the chunk
    d_received = tl.where(enters, dot(slope, tl.trans(state)), 0.0)
    carried = tl.where(through, state, 0.0)
    if fresh is not None:
        entered, entered_in = matrix_places(head, key, value, K, V)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        d_received += tl.where(enters, 0.0, dot(slope, tl.trans(began)))
        carried = tl.where(through, state, began)
        d_began = dot(tl.trans(tl.where(enters, 0.0, read * since)), slope)
        d_began += tl.where(through, 0.0, total[:, None] * d_leaving)
        tl.store(d_fresh + at, d_began, mask=inside)
    d_sent = dot(given, tl.trans(d_leaving))
    d_total = tl.sum(d_leaving * carried, 1) * total

    # the token itself
    d_own = tl.sum(slope * given, 1)[:, None]
    found_r = d_received * since + d_own * own[None, :] * sent
    found_k = d_sent * end + d_own * own[None, :] * read
    tl.store(d_bonus + place * key + channel, tl.sum(d_own * read * sent, 0), mask=channel < key)
    met = pair_scores(read, sent, decay, segment, L, LEVELS)
    found_v = dot(tl.trans(met), slope) + dot(sent * end, d_leaving)
    found_v += tl.sum(read * sent * own[None, :], 1)[:, None] * slope
    tl.store(d_v + values, found_v, mask=values_in)

    # the sums of decays to and from the edges of the chunk
    t = tl.arange(0, L)
    behind = (t[:, None] < t[None, :]) & (segment[:, None] == segment[None, :])
    found_decay = dot(behind.to(tl.float32), d_received * read * since)
    found_decay += dot((t[:, None] > t[None, :]).to(tl.float32), d_sent * sent * end)
    found_decay += tl.where(leaves, d_total[None, :], 0.0)

    # pairs
    d_scores = dot(slope, tl.trans(given))
    for level in tl.static_range(LEVELS):
        summed, meets = level_parts(segment, 1 << level, L)
        factor = tl.exp(dot(summed, decay))
        d_met = tl.where(meets, d_scores, 0.0)
        from_left = dot(d_met, sent * factor)
        from_right = dot(tl.trans(d_met), read * factor)
        found_r += from_left * factor
        found_k += from_right * factor
        found_decay += dot(tl.trans(summed), (from_left * read + from_right * sent) * factor)
    tl.store(d_r + keys, found_r, mask=keys_in)
    tl.store(d_k + keys, found_k, mask=keys_in)
    tl.store(d_decays + keys, found_decay, mask=keys_in)


def backward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the tensors in their order, that of `fresh` last: empty where it had no part."""
    batch, time, heads, key = r.shape
    value = v.shape[3]
    fresh = None if reset is None else fresh
    chunks = triton.cdiv(time, CHUNK)
    grid, sizes, tile = (chunks, batch * heads), (time, heads, key, value), tiles(key, value)
    states, gains, _ = entering(k, v, log_decay, state, reset, fresh)
    d_states = state.new_empty(states.shape)
    _reads[grid](r, log_decay, reset, d_out, d_states, *sizes, **tile)
    d_state = scan(d_states, gains, d_last, reverse=True)
    d_r, d_k, d_v, d_decay = (empty(tensor) for tensor in (r, k, v, log_decay))
    d_bonus = state.new_empty((batch, heads, chunks, key))
    d_fresh = state.new_empty((0,) if fresh is None else (batch, heads, chunks, key, value))
    _gradients[grid](
        *(r, k, v, log_decay, bonus, reset, fresh, states, d_states, d_out),
        *(d_r, d_k, d_v, d_decay, d_bonus, d_fresh),
        *sizes,
        LEVELS=LEVELS,
        **tile,
        num_warps=8,
    )
    return d_r, d_k, d_v, d_decay, d_bonus.sum((0, 2)), d_state, d_fresh if fresh is None else d_fresh.sum((0, 2))
