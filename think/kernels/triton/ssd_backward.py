"""SSD in chunks, in Triton: the gradient of ssd.py. States are computed again, so that forward keeps nothing.

B batch  T time  H heads  P head width  N state width  G groups  M chunks  L chunk length
"""

import triton
import triton.language as tl
from torch import Tensor

from think.kernels.triton.available import empty
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
from think.kernels.triton.scan import scan
from think.kernels.triton.ssd import CHUNK, entering, tiles


@triton.jit
def _reads(
    steps: tl.tensor,
    rates: tl.tensor,
    leave: tl.tensor,
    reset: tl.tensor,
    d_out: tl.tensor,
    d_states: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    size: tl.tensor,
    L: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """The gradient of the state that entered a chunk, as far as its own outputs go."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    group = head // (heads // groups)
    inputs, inputs_in = token_places(row, head, first, time, heads, width, L, P)
    entries, entries_in = token_places(row, group, first, time, groups, size, L, N)
    slope = tl.load(d_out + inputs, mask=inputs_in, other=0.0).to(tl.float32)
    exits = tl.load(leave + entries, mask=entries_in, other=0.0).to(tl.float32)
    dt = read_numbers(steps, row, head, first, time, heads, L)
    segment = segments(reset, row, first, time, L)
    _, since, _, _ = scalar_decays(bounded(dt * tl.load(rates + head)), segment, L)
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, width, size, P, N)
    seen = slope * tl.where(segment == 0, since, 0.0)[:, None]
    tl.store(d_states + at, dot(tl.trans(seen), exits), mask=inside)


@triton.jit
def _gradients(
    x: tl.tensor,
    steps: tl.tensor,
    rates: tl.tensor,
    enter: tl.tensor,
    leave: tl.tensor,
    skip: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    states: tl.tensor,
    d_states: tl.tensor,
    d_out: tl.tensor,
    d_x: tl.tensor,
    d_steps: tl.tensor,
    d_enter: tl.tensor,
    d_leave: tl.tensor,
    d_parts: tl.tensor,
    d_fresh: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    size: tl.tensor,
    L: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """Gradients of the inputs of a chunk, from those of its outputs and of the state that left it.

    d_enter, d_leave [B, T, H, N]: of each head. d_parts [2, B H, M]: of the rate and of the skip.
    """
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    group = head // (heads // groups)
    place = sequence * tl.num_programs(0) + chunk
    inputs, inputs_in = token_places(row, head, first, time, heads, width, L, P)
    entries, entries_in = token_places(row, group, first, time, groups, size, L, N)
    at, inside = matrix_places(place, width, size, P, N)
    given = tl.load(x + inputs, mask=inputs_in, other=0.0).to(tl.float32)
    slope = tl.load(d_out + inputs, mask=inputs_in, other=0.0).to(tl.float32)
    entry = tl.load(enter + entries, mask=entries_in, other=0.0).to(tl.float32)
    exits = tl.load(leave + entries, mask=entries_in, other=0.0).to(tl.float32)
    state = tl.load(states + at, mask=inside, other=0.0)
    d_leaving = tl.load(d_states + at, mask=inside, other=0.0)
    dt = read_numbers(steps, row, head, first, time, heads, L)
    rate = tl.load(rates + head)
    segment = segments(reset, row, first, time, L)
    between, since, end, total = scalar_decays(bounded(dt * rate), segment, L)
    enters = (segment == 0)[:, None]
    through = tl.max(segment, 0) == 0

    # the states before and after the chunk
    seen = slope * since[:, None]
    found_leave = tl.where(enters, dot(seen, state), 0.0)
    read = tl.where(enters, dot(exits, tl.trans(state)), 0.0)
    carried = tl.where(through, state, 0.0)
    if fresh is not None:
        entered, entered_in = matrix_places(head, width, size, P, N)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        found_leave += tl.where(enters, 0.0, dot(seen, began))
        read += tl.where(enters, 0.0, dot(exits, tl.trans(began)))
        carried = tl.where(through, state, began)
        d_began = dot(tl.trans(tl.where(enters, 0.0, seen)), exits) + tl.where(through, 0.0, total * d_leaving)
        tl.store(d_fresh + at, d_began, mask=inside)
    d_since = tl.sum(seen * read, 1)
    d_total = tl.sum(tl.sum(d_leaving * carried, 1), 0) * total
    moved = given * dt[:, None]
    found_enter = dot(moved * end[:, None], d_leaving)
    d_moved = dot(entry, tl.trans(d_leaving)) * end[:, None]
    d_end = tl.sum(d_moved * moved, 1)

    # pairs
    met = dot(exits, tl.trans(entry))
    d_pairs = dot(slope, tl.trans(moved)) * between
    d_moved += dot(tl.trans(met * between), slope)
    found_leave += dot(d_pairs, entry)
    found_enter += dot(tl.trans(d_pairs), exits)

    d_decay = scalar_decays_backward(d_pairs * met, d_since, d_end, d_total, segment, L)
    tl.store(d_x + inputs, d_moved * dt[:, None] + slope * tl.load(skip + head), mask=inputs_in)
    found_step = tl.sum(d_moved * given, 1) + d_decay * rate
    write_numbers(d_steps, found_step, row, head, first, time, heads, L)
    own, own_in = token_places(row, head, first, time, heads, size, L, N)
    tl.store(d_enter + own, found_enter, mask=own_in)
    tl.store(d_leave + own, found_leave, mask=own_in)
    tl.store(d_parts + place, tl.sum(d_decay * dt, 0))
    half = tl.num_programs(1).to(tl.int64) * tl.num_programs(0)
    tl.store(d_parts + half + place, tl.sum(tl.sum(slope * given, 1), 0))


def backward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    d_out: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the tensors in their order, that of `fresh` last: empty where it had no part."""
    batch, time, heads, width = x.shape
    groups, size = B.shape[2:]
    fresh = None if reset is None else fresh
    chunks = triton.cdiv(time, CHUNK)
    grid, sizes, tile = (chunks, batch * heads), (time, heads, groups, width, size), tiles(width, size)
    states, gains, _ = entering(x, dt, A, B, state, reset, fresh)
    d_states = state.new_empty(states.shape)
    _reads[grid](dt, A, C, reset, d_out, d_states, *sizes, **tile)
    d_state = scan(d_states, gains, d_last, reverse=True)
    d_x, d_dt = empty(x), dt.new_empty(dt.shape)
    # a group of several heads adds up what each of them found, always in the same order
    d_B, d_C = (empty(B if heads == groups else dt, batch, time, heads, size) for _ in range(2))
    d_parts = state.new_empty((2, batch, heads, chunks))
    d_fresh = state.new_empty((0,) if fresh is None else (batch, heads, chunks, width, size))
    _gradients[grid](
        *(x, dt, A, B, C, D, reset, fresh, states, d_states, d_out),
        *(d_x, d_dt, d_B, d_C, d_parts, d_fresh),
        *sizes,
        **tile,
        num_warps=8,
    )
    if heads > groups:
        d_B, d_C = (found.unflatten(2, (groups, -1)).sum(3).to(B.dtype) for found in (d_B, d_C))
    d_A, d_D = d_parts.sum((1, 3)).unbind(0)
    return d_x, d_dt, d_A.clone(), d_B, d_C, d_D.clone(), d_state, d_fresh if fresh is None else d_fresh.sum((0, 2))
