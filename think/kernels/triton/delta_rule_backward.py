"""The gated delta rule in chunks, in Triton: the gradient of delta_rule.py. What forward found is computed again.

B batch  T time  H heads  K key width  V value width  M chunks  L chunk length
"""

import triton
import triton.language as tl
from torch import Tensor

from think.kernels.triton.available import empty
from think.kernels.triton.delta_rule import CHUNK, solved, strips, tiles
from think.kernels.triton.parts import (
    bounded,
    dot,
    matrix_places,
    read_numbers,
    scalar_decays,
    scalar_decays_backward,
    segments,
    token_places,
    write_numbers,
)


@triton.jit
def _reads(
    q: tl.tensor,
    k: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    d_out: tl.tensor,
    d_written: tl.tensor,
    d_states: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """Gradients of what is written and of the state that entered, as far as the chunk's own outputs go."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    read = tl.load(q + keys, mask=keys_in, other=0.0).to(tl.float32)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    slope = tl.load(d_out + values, mask=values_in, other=0.0).to(tl.float32)
    decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
    segment = segments(reset, row, first, time, L)
    between, since, _, _ = scalar_decays(decay, segment, L)
    pairs = dot(read, tl.trans(sent)) * between
    tl.store(d_written + values, dot(tl.trans(pairs), slope), mask=values_in)
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, key, value, K, V)
    seen = read * tl.where(segment == 0, since, 0.0)[:, None]
    tl.store(d_states + at, dot(tl.trans(seen), slope), mask=inside)


@triton.jit
def _carry(
    k: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    keep: tl.tensor,
    d_written: tl.tensor,
    d_states: tl.tensor,
    d_last: tl.tensor,
    d_first: tl.tensor,
    chunks: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """From the last chunk to the first: all of both gradients; d_states becomes that of the state that leaves."""
    sequence = tl.program_id(1).to(tl.int64)
    row, head = sequence // heads, sequence % heads
    i, j = tl.arange(0, K)[:, None], tl.program_id(0) * V + tl.arange(0, V)[None, :]
    inside, place = (i < key) & (j < value), i * value + j
    held = tl.load(d_last + sequence * key * value + place, mask=inside, other=0.0)
    for step in range(chunks):
        chunk = chunks - 1 - step
        first = chunk * L
        keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
        t = (first + tl.arange(0, L))[:, None]
        values, values_in = ((row * time + t) * heads + head) * value + j, (t < time) & (j < value)
        sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
        kept = tl.load(keep + keys, mask=keys_in, other=0.0)
        decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
        segment = segments(reset, row, first, time, L)
        _, _, end, total = scalar_decays(decay, segment, L)
        found = tl.load(d_written + values, mask=values_in, other=0.0) + dot(sent * end[:, None], held)
        tl.store(d_written + values, found, mask=values_in)
        at = d_states + (sequence * chunks + chunk) * key * value + place
        entered = tl.load(at, mask=inside, other=0.0)
        tl.store(at, held, mask=inside)
        held = tl.where(tl.max(segment, 0) == 0, total * held, 0.0) + entered
        held -= dot(tl.trans(tl.where((segment == 0)[:, None], kept, 0.0)), found)
    tl.store(d_first + sequence * key * value + place, held, mask=inside)


@triton.jit
def _gradients(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    shares: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    inverse: tl.tensor,
    written: tl.tensor,
    states: tl.tensor,
    d_out: tl.tensor,
    d_written: tl.tensor,
    d_states: tl.tensor,
    d_q: tl.tensor,
    d_k: tl.tensor,
    d_v: tl.tensor,
    d_shares: tl.tensor,
    d_decays: tl.tensor,
    d_fresh: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """Gradients of the inputs of a chunk, from those of its outputs, of what it wrote and of the state that left it."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    place = sequence * tl.num_programs(0) + chunk
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    at, inside = matrix_places(place, key, value, K, V)
    square, _ = matrix_places(place, L, L, L, L)
    read = tl.load(q + keys, mask=keys_in, other=0.0).to(tl.float32)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    given = tl.load(v + values, mask=values_in, other=0.0).to(tl.float32)
    slope = tl.load(d_out + values, mask=values_in, other=0.0).to(tl.float32)
    wrote = tl.load(written + values, mask=values_in, other=0.0)
    d_wrote = tl.load(d_written + values, mask=values_in, other=0.0)
    state = tl.load(states + at, mask=inside, other=0.0)
    d_leaving = tl.load(d_states + at, mask=inside, other=0.0)
    beta = read_numbers(shares, row, head, first, time, heads, L)
    decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
    segment = segments(reset, row, first, time, L)
    between, since, end, total = scalar_decays(decay, segment, L)
    enters = (segment == 0)[:, None]
    through = tl.max(segment, 0) == 0
    t = tl.arange(0, L)
    below = t[:, None] > t[None, :]

    # written solves (1 + held) written = beta (v - since k S), so its gradient solves the transpose
    d_right = dot(tl.trans(tl.load(inverse + square)), d_wrote)
    tl.store(d_v + values, beta[:, None] * d_right, mask=values_in)
    found_beta = tl.sum(d_right * given, 1)

    # pairs: of q and k, and of k and k
    met_read, met_sent = dot(read, tl.trans(sent)), dot(sent, tl.trans(sent))
    d_held = tl.where(below, -dot(d_right, tl.trans(wrote)), 0.0) * between
    found_beta += tl.sum(d_held * met_sent, 1)
    d_met_sent = d_held * beta[:, None]
    d_met_read = dot(slope, tl.trans(wrote)) * between
    found_q = dot(d_met_read, sent)
    found_k = dot(tl.trans(d_met_read), read) + dot(d_met_sent, sent) + dot(tl.trans(d_met_sent), sent)
    d_spans = d_met_read * met_read + d_met_sent * met_sent

    # what is read of the entering state, and what reaches the one that leaves
    seen_q = tl.where(enters, dot(slope, tl.trans(state)), 0.0)
    seen_k = tl.where(enters, dot(d_right, tl.trans(state)), 0.0)
    carried = tl.where(through, state, 0.0)
    if fresh is not None:
        entered, entered_in = matrix_places(head, key, value, K, V)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        seen_q += tl.where(enters, 0.0, dot(slope, tl.trans(began)))
        seen_k += tl.where(enters, 0.0, dot(d_right, tl.trans(began)))
        carried = tl.where(through, state, began)
        later = tl.where(segment == 0, 0.0, since)[:, None]
        d_began = dot(tl.trans(later * read), slope) - dot(tl.trans(later * beta[:, None] * sent), d_right)
        tl.store(d_fresh + at, d_began + tl.where(through, 0.0, total * d_leaving), mask=inside)
    found_q += seen_q * since[:, None]
    found_k -= seen_k * (beta * since)[:, None]
    held_k = tl.sum(seen_k * sent, 1) * since
    found_beta -= held_k
    d_since = tl.sum(seen_q * read, 1) * since - held_k * beta
    d_sent = dot(wrote, tl.trans(d_leaving)) * end[:, None]
    found_k += d_sent
    d_end = tl.sum(d_sent * sent, 1)
    d_total = tl.sum(tl.sum(d_leaving * carried, 1), 0) * total

    found_decay = scalar_decays_backward(d_spans, d_since, d_end, d_total, segment, L)
    tl.store(d_q + keys, found_q, mask=keys_in)
    tl.store(d_k + keys, found_k, mask=keys_in)
    write_numbers(d_shares, found_beta, row, head, first, time, heads, L)
    write_numbers(d_decays, found_decay, row, head, first, time, heads, L)


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the tensors in their order, that of `fresh` last: empty where it had no part."""
    batch, time, heads, key = q.shape
    value = v.shape[3]
    fresh = None if reset is None else fresh
    chunks = triton.cdiv(time, CHUNK)
    grid, sizes, tile = (chunks, batch * heads), (time, heads, key, value), tiles(key, value)
    inverse, keep, written, states, _ = solved(k, v, beta, log_decay, state, reset, fresh)
    d_written, d_states = written.new_empty(written.shape), states.new_empty(states.shape)
    _reads[grid](q, k, log_decay, reset, d_out, d_written, d_states, *sizes, **tile)
    d_state = state.new_empty(state.shape)
    columns, strip = strips(key, value)
    _carry[columns, batch * heads](
        *(k, log_decay, reset, keep, d_written, d_states, d_last, d_state, chunks), *sizes, **strip
    )
    d_q, d_k, d_v, d_beta, d_decay = (empty(tensor) for tensor in (q, k, v, beta, log_decay))
    d_fresh = state.new_empty((0,) if fresh is None else (batch, heads, chunks, key, value))
    _gradients[grid](
        *(q, k, v, beta, log_decay, reset, fresh, inverse, written, states, d_out, d_written, d_states),
        *(d_q, d_k, d_v, d_beta, d_decay, d_fresh),
        *sizes,
        **tile,
        num_warps=8,
    )
    return d_q, d_k, d_v, d_beta, d_decay, d_state, d_fresh if fresh is None else d_fresh.sum((0, 2))
