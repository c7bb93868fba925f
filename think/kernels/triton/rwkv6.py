"""RWKV-6 in chunks, in Triton: the chunks of ../rwkv6/_chunks.py on tensor cores, forward.

Inside a chunk every pair of tokens s < t meets at the level of a binary tree where t stands in a right block and s in
the left block beside it; at each level both factors of the decay between them are exponentials of plain sums. A chunk
is independent of the others but for the state that enters it, which `scan` carries.

B batch  T time  H heads  K key width  V value width  M chunks  L chunk length
"""

import triton
import triton.language as tl
from torch import Tensor

from think.kernels.triton.available import empty
from think.kernels.triton.parts import bounded, dot, matrix_places, segments, token_places
from think.kernels.triton.scan import scan

CHUNK = 32
"Tokens in a chunk."
LEVELS = 5
"CHUNK = 2^LEVELS."


@triton.jit
def window_decays(decay: tl.tensor, segment: tl.tensor, L: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """What decays [L, K] make of a chunk.

    since [L, K]  of all i < t of the token's segment (what token t reads is not decayed by itself)
    end   [L, K]  of all i > s; 0 for tokens that do not reach the end of the chunk
    total [K]     of the last segment
    """
    t = tl.arange(0, L)
    last = segment == tl.max(segment, 0)
    before = (t[:, None] > t[None, :]) & (segment[:, None] == segment[None, :])
    since = tl.exp(dot(before.to(tl.float32), decay))
    end = tl.exp(dot((t[:, None] < t[None, :]).to(tl.float32), decay))
    total = tl.exp(tl.sum(tl.where(last[:, None], decay, 0.0), 0))
    return since, tl.where(last[:, None], end, 0.0), total


@triton.jit
def level_parts(segment: tl.tensor, HALF: tl.constexpr, L: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """One level of the tree: over which tokens each one's decay is summed [L, L], and which pairs meet [L, L]."""
    t = tl.arange(0, L)
    block = t // HALF
    right = block % 2 == 1
    own = block[:, None] == block[None, :]
    # in a right block the tokens before, in a left block those behind: up to where the two blocks meet
    summed = own & tl.where(right[:, None], t[:, None] > t[None, :], t[:, None] < t[None, :])
    meets = right[:, None] & (block[:, None] == block[None, :] + 1)
    return summed.to(tl.float32), meets & (segment[:, None] == segment[None, :])


@triton.jit
def pair_scores(
    r: tl.tensor, k: tl.tensor, decay: tl.tensor, segment: tl.tensor, L: tl.constexpr, LEVELS: tl.constexpr
) -> tl.tensor:
    """[L, L]: how much of what token s wrote token t reads, s < t."""
    scores = tl.zeros((L, L), tl.float32)
    for level in tl.static_range(LEVELS):
        summed, meets = level_parts(segment, 1 << level, L)
        factor = tl.exp(dot(summed, decay))
        scores += tl.where(meets, dot(r * factor, tl.trans(k * factor)), 0.0)
    return scores


@triton.jit
def _write(
    k: tl.tensor,
    v: tl.tensor,
    decays: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    moves: tl.tensor,
    gains: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """What a chunk adds to the state, and what it leaves of the one that entered."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    given = tl.load(v + values, mask=values_in, other=0.0).to(tl.float32)
    decay = bounded(tl.load(decays + keys, mask=keys_in, other=0.0).to(tl.float32))
    segment = segments(reset, row, first, time, L)
    _, end, total = window_decays(decay, segment, L)
    moved = dot(tl.trans(sent * end), given)
    through = tl.max(segment, 0) == 0
    if fresh is not None:
        entered, entered_in = matrix_places(head, key, value, K, V)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        moved += tl.where(through, 0.0, total[:, None] * began)
    place = sequence * tl.num_programs(0) + chunk
    at, inside = matrix_places(place, key, value, K, V)
    tl.store(moves + at, moved, mask=inside)
    channel = tl.arange(0, K)
    tl.store(gains + place * key + channel, tl.where(through, total, 0.0), mask=channel < key)


@triton.jit
def _outputs(
    r: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    decays: tl.tensor,
    bonus: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    states: tl.tensor,
    out: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    L: tl.constexpr,
    LEVELS: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
) -> None:
    """What the tokens of a chunk read: of one another, of the state that entered, of `fresh`."""
    chunk, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, head, first = sequence // heads, sequence % heads, chunk * L
    keys, keys_in = token_places(row, head, first, time, heads, key, L, K)
    values, values_in = token_places(row, head, first, time, heads, value, L, V)
    read = tl.load(r + keys, mask=keys_in, other=0.0).to(tl.float32)
    sent = tl.load(k + keys, mask=keys_in, other=0.0).to(tl.float32)
    given = tl.load(v + values, mask=values_in, other=0.0).to(tl.float32)
    decay = bounded(tl.load(decays + keys, mask=keys_in, other=0.0).to(tl.float32))
    channel = tl.arange(0, K)
    own = tl.load(bonus + head * key + channel, mask=channel < key, other=0.0)
    segment = segments(reset, row, first, time, L)
    since, _, _ = window_decays(decay, segment, L)

    found = dot(pair_scores(read, sent, decay, segment, L, LEVELS), given)
    found += tl.sum(read * sent * own[None, :], 1)[:, None] * given
    received = read * since
    at, inside = matrix_places(sequence * tl.num_programs(0) + chunk, key, value, K, V)
    entering = tl.load(states + at, mask=inside, other=0.0)
    found += dot(tl.where((segment == 0)[:, None], received, 0.0), entering)
    if fresh is not None:
        entered, entered_in = matrix_places(head, key, value, K, V)
        began = tl.load(fresh + entered, mask=entered_in, other=0.0)
        found += dot(tl.where((segment == 0)[:, None], 0.0, received), began)
    tl.store(out + values, found, mask=values_in)


def tiles(key: int, value: int) -> dict[str, int]:
    """Sizes of tiles: powers of two that tensor cores take."""
    return {"L": CHUNK, "K": max(16, triton.next_power_of_2(key)), "V": max(16, triton.next_power_of_2(value))}


def entering(
    k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor, reset: Tensor | None, fresh: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The states [B H, M, K, V] that enter the chunks, what each chunk leaves of its own [B H, M, K], and the last."""
    batch, time, heads, key = k.shape
    value = v.shape[3]
    grid = (triton.cdiv(time, CHUNK), batch * heads)
    states = state.new_empty((grid[1], grid[0], key, value))
    gains = state.new_empty((grid[1], grid[0], key))
    sizes = (time, heads, key, value)
    _write[grid](k, v, log_decay, reset, fresh, states, gains, *sizes, **tiles(key, value))
    return states, gains, scan(states, gains, state)


def forward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state. Arguments as `think.kernels.rwkv6.rwkv6`, without gaps."""
    batch, time, heads, key = r.shape
    value = v.shape[3]
    fresh = None if reset is None else fresh
    states, _, last = entering(k, v, log_decay, state, reset, fresh)
    out = empty(v)
    grid = (triton.cdiv(time, CHUNK), batch * heads)
    sizes = (time, heads, key, value)
    _outputs[grid](*(r, k, v, log_decay, bonus, reset, fresh, states, out), *sizes, LEVELS=LEVELS, **tiles(key, value))
    return out, last
