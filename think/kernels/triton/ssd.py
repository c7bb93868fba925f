"""SSD in chunks, in Triton: the chunks of ../ssd/_chunks.py on tensor cores, forward.

Inside a chunk y = (between * C B^T) (dt x); a chunk is independent of the others but for the state that enters it,
which `scan` carries.

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
    segments,
    token_places,
)
from think.kernels.triton.scan import scan

CHUNK = 64
"Tokens in a chunk."


@triton.jit
def _write(
    x: tl.tensor,
    steps: tl.tensor,
    rates: tl.tensor,
    enter: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    moves: tl.tensor,
    gains: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    size: tl.tensor,
    L: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """What a chunk adds to the state, and what it leaves of the one that entered."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    group = head // (heads // groups)
    inputs, inputs_in = token_places(row, head, first, time, heads, width, L, P)
    entries, entries_in = token_places(row, group, first, time, groups, size, L, N)
    given = tl.load(x + inputs, mask=inputs_in, other=0.0).to(tl.float32)
    entry = tl.load(enter + entries, mask=entries_in, other=0.0).to(tl.float32)
    dt = read_numbers(steps, row, head, first, time, heads, L)
    segment = segments(reset, row, first, time, L)
    _, _, end, total = scalar_decays(bounded(dt * tl.load(rates + head)), segment, L)
    moved = dot(tl.trans(given * (dt * end)[:, None]), entry)
    through = tl.max(segment, 0) == 0
    if fresh is not None:
        entered, entered_in = matrix_places(head, width, size, P, N)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        moved += tl.where(through, 0.0, total * began)
    place = sequence * tl.num_programs(0) + chunk
    at, inside = matrix_places(place, width, size, P, N)
    tl.store(moves + at, moved, mask=inside)
    tl.store(gains + place, tl.where(through, total, 0.0))


@triton.jit
def _outputs(
    x: tl.tensor,
    steps: tl.tensor,
    rates: tl.tensor,
    enter: tl.tensor,
    leave: tl.tensor,
    skip: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    states: tl.tensor,
    out: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    groups: tl.tensor,
    width: tl.tensor,
    size: tl.tensor,
    L: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """What the tokens of a chunk read: of one another, of the state that entered, of `fresh`."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    group = head // (heads // groups)
    inputs, inputs_in = token_places(row, head, first, time, heads, width, L, P)
    entries, entries_in = token_places(row, group, first, time, groups, size, L, N)
    given = tl.load(x + inputs, mask=inputs_in, other=0.0).to(tl.float32)
    entry = tl.load(enter + entries, mask=entries_in, other=0.0).to(tl.float32)
    exits = tl.load(leave + entries, mask=entries_in, other=0.0).to(tl.float32)
    dt = read_numbers(steps, row, head, first, time, heads, L)
    segment = segments(reset, row, first, time, L)
    between, since, _, _ = scalar_decays(bounded(dt * tl.load(rates + head)), segment, L)

    found = dot(dot(exits, tl.trans(entry)) * between, given * dt[:, None])
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, width, size, P, N)
    entering = tl.load(states + at, mask=inside, other=0.0)
    seen = tl.where((segment == 0)[:, None], dot(exits, tl.trans(entering)), 0.0)
    if fresh is not None:
        entered, entered_in = matrix_places(head, width, size, P, N)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        seen += tl.where((segment == 0)[:, None], 0.0, dot(exits, tl.trans(began)))
    found += seen * since[:, None] + given * tl.load(skip + head)
    tl.store(out + inputs, found, mask=inputs_in)


def tiles(width: int, size: int) -> dict[str, int]:
    """Sizes of tiles: powers of two that tensor cores take."""
    return {"L": CHUNK, "P": max(16, triton.next_power_of_2(width)), "N": max(16, triton.next_power_of_2(size))}


def entering(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, state: Tensor, reset: Tensor | None, fresh: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The states [B H, M, P, N] that enter the chunks, what each chunk leaves of its own [B H, M, 1], and the last."""
    batch, time, heads, width = x.shape
    groups, size = B.shape[2:]
    grid = (triton.cdiv(time, CHUNK), batch * heads)
    states = state.new_empty((grid[1], grid[0], width, size))
    gains = state.new_empty((grid[1], grid[0], 1))
    sizes = (time, heads, groups, width, size)
    _write[grid](x, dt, A, B, reset, fresh, states, gains, *sizes, **tiles(width, size))
    return states, gains, scan(states, gains, state)


def forward(
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
    """Outputs and last state. Arguments as `think.kernels.ssd.ssd`, without gaps."""
    batch, time, heads, width = x.shape
    groups, size = B.shape[2:]
    fresh = None if reset is None else fresh
    states, _, last = entering(x, dt, A, B, state, reset, fresh)
    out = empty(x)
    grid = (triton.cdiv(time, CHUNK), batch * heads)
    sizes = (time, heads, groups, width, size)
    _outputs[grid](x, dt, A, B, C, D, reset, fresh, states, out, *sizes, **tiles(width, size), num_warps=8)
    return out, last
