"""The gated delta rule in chunks, in Triton: the chunks of ../delta_rule/_chunks.py on tensor cores, forward.

What the tokens of a chunk write solves a triangular system. `_solve` inverts its matrix for all chunks at once;
`_carry` then walks over the chunks of one head, for what is written depends on the state that enters; `_outputs`
reads.

B batch  T time  H heads  K key width  V value width  M chunks  L chunk length
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

CHUNK = 32
"Tokens in a chunk."
COLUMNS = 32
"Value channels that one program carries over the chunks."


@triton.jit
def _solve(
    k: tl.tensor,
    v: tl.tensor,
    shares: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    inverse: tl.tensor,
    keep: tl.tensor,
    written: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """The inverse of 1 + beta (k k^T) between below the diagonal, and what it makes of values and keys."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    given = tl.load(v + values, mask=values_in, other=0.0).to(tl.float32)
    beta = read_numbers(shares, row, head, first, time, heads, L)
    decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
    between, since, _, _ = scalar_decays(decay, segments(reset, row, first, time, L), L)
    t = tl.arange(0, L)
    below = t[:, None] > t[None, :]
    solved = tl.where(below, -beta[:, None] * dot(sent, tl.trans(sent)) * between, 0.0)
    for i in range(1, L):
        here = (t == i)[:, None]
        line = tl.sum(tl.where(here, solved, 0.0), 0)
        line += tl.sum(line[:, None] * solved, 0)
        solved = tl.where(here, line[None, :], solved)
    solved += (t[:, None] == t[None, :]).to(tl.float32)
    at, _ = matrix_places(sequence * tl.num_programs(0) + chunk, L, L, L, L)
    tl.store(inverse + at, solved)
    tl.store(keep + keys, dot(solved, (beta * since)[:, None] * sent), mask=keys_in)
    tl.store(written + values, dot(solved, beta[:, None] * given), mask=values_in)


@triton.jit
def _carry(
    k: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    keep: tl.tensor,
    written: tl.tensor,
    entering: tl.tensor,
    states: tl.tensor,
    leaving: tl.tensor,
    chunks: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """The state from chunk to chunk, and what each token really writes, for V of the value channels."""
    sequence = tl.program_id(1).to(tl.int64)
    row, head = sequence // heads, sequence % heads
    i, j = tl.arange(0, K)[:, None], tl.program_id(0) * V + tl.arange(0, V)[None, :]
    inside, place = (i < key) & (j < value), i * value + j
    held = tl.load(entering + sequence * key * value + place, mask=inside, other=0.0)
    if fresh is not None:
        began = tl.load(fresh + head * key * value + place, mask=inside, other=0.0)
    for chunk in range(chunks):
        first = chunk * L
        keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
        t = (first + tl.arange(0, L))[:, None]
        values, values_in = ((row * time + t) * heads + head) * value + j, (t < time) & (j < value)
        sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
        kept = tl.load(keep + keys, mask=keys_in, other=0.0)
        wrote = tl.load(written + values, mask=values_in, other=0.0)
        decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
        segment = segments(reset, row, first, time, L)
        _, _, end, total = scalar_decays(decay, segment, L)
        tl.store(states + (sequence * chunks + chunk) * key * value + place, held, mask=inside)
        wrote -= tl.where((segment == 0)[:, None], dot(kept, held), 0.0)
        through = tl.max(segment, 0) == 0
        carried = tl.where(through, held, 0.0)
        if fresh is not None:
            wrote -= tl.where((segment == 0)[:, None], 0.0, dot(kept, began))
            carried = tl.where(through, held, began)
        tl.store(written + values, wrote, mask=values_in)
        held = total * carried + dot(tl.trans(sent * end[:, None]), wrote)
    tl.store(leaving + sequence * key * value + place, held, mask=inside)


@triton.jit
def _outputs(
    q: tl.tensor,
    k: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    written: tl.tensor,
    states: tl.tensor,
    out: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """What the tokens of a chunk read: of what was written, of the state that entered, of `fresh`."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    read = tl.load(q + keys, mask=keys_in, other=0.0).to(tl.float32)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    wrote = tl.load(written + values, mask=values_in, other=0.0)
    decay = bounded(read_numbers(decays, row, head, first, time, heads, L))
    segment = segments(reset, row, first, time, L)
    between, since, _, _ = scalar_decays(decay, segment, L)
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, key, value, K, V)
    entering = tl.load(states + at, mask=inside, other=0.0)
    seen = tl.where((segment == 0)[:, None], dot(read, entering), 0.0)
    if fresh is not None:
        entered, entered_in = matrix_places(head, key, value, K, V)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        seen += tl.where((segment == 0)[:, None], 0.0, dot(read, began))
    found = dot(dot(read, tl.trans(sent)) * between, wrote) + since[:, None] * seen
    tl.store(out + values, found, mask=values_in)


def tiles(key: int, value: int) -> dict[str, int]:
    """Sizes of tiles: powers of two that tensor cores take."""
    return {"L": CHUNK, "K": max(16, triton.next_power_of_2(key)), "V": max(16, triton.next_power_of_2(value))}


def strips(key: int, value: int) -> tuple[int, dict[str, int]]:
    """How many programs share the value channels of a head that is walked over, and the sizes of their tiles."""
    tile = tiles(key, value)
    tile["V"] = min(tile["V"], COLUMNS)
    return triton.cdiv(value, tile["V"]), tile


def solved(
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Inverses [B H, M, L, L], keep [B, T, H, K], written [B, T, H, V], entering states [B H, M, K, V], the last."""
    batch, time, heads, key = k.shape
    value = v.shape[3]
    chunks = triton.cdiv(time, CHUNK)
    sizes = (time, heads, key, value)
    inverse = state.new_empty((batch * heads, chunks, CHUNK, CHUNK))
    keep, written = state.new_empty(k.shape), state.new_empty(v.shape)
    states, last = state.new_empty((batch * heads, chunks, key, value)), state.new_empty(state.shape)
    _solve[chunks, batch * heads](*(k, v, beta, log_decay, reset, inverse, keep, written), *sizes, **tiles(key, value))
    columns, strip = strips(key, value)
    _carry[columns, batch * heads](
        *(k, log_decay, reset, fresh, keep, written, state, states, last, chunks), *sizes, **strip
    )
    return inverse, keep, written, states, last


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state. Arguments as `think.kernels.delta_rule.delta_rule`, without gaps."""
    batch, time, heads, key = q.shape
    value = v.shape[3]
    fresh = None if reset is None else fresh
    _, _, written, states, last = solved(k, v, beta, log_decay, state, reset, fresh)
    out = empty(v)
    sizes = (time, heads, key, value)
    grid = (triton.cdiv(time, CHUNK), batch * heads)
    _outputs[grid](q, k, log_decay, reset, fresh, written, states, out, *sizes, **tiles(key, value))
    return out, last
