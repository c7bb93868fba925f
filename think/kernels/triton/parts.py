"""What the kernels have in common: tiles of tokens, tiles of states, and how resets cut a chunk.

A chunk is L tokens of one row and one head. `segment[t]` counts the resets of the chunk up to and with token t: tokens
of segment 0 still see the state that entered the chunk, the others see `fresh`, and only tokens of the last segment
reach the state that leaves. All exponents are sums of log decays, never differences of running sums, so that a strong
decay costs no digits of the weak ones beside it.
"""

import triton
import triton.language as tl

FORGET = tl.constexpr(-1e4)
"A log decay whose exponential is zero in float32, yet finite; stronger ones are read as this."


@triton.jit
def dot(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    """a @ b on tensor cores, as exact as float32: three products of the TF32 halves of each number."""
    return tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def bounded(decay: tl.tensor) -> tl.tensor:
    """A log decay that is finite; what is not a number stays so."""
    return tl.where(decay < FORGET, FORGET, decay)


@triton.jit
def segments(reset: tl.tensor, row: tl.tensor, first: tl.tensor, time: tl.tensor, L: tl.constexpr) -> tl.tensor:
    """[L]: resets of the chunk up to and with each token; zeros without resets."""
    t = first + tl.arange(0, L)
    seen = tl.zeros((L,), tl.int32)
    if reset is not None:
        seen += tl.cumsum(tl.load(reset + row * time + t, mask=t < time, other=0).to(tl.int32), 0)
    return seen


@triton.jit
def token_places(
    row: tl.tensor,
    head: tl.tensor,
    first: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    width: tl.tensor,
    L: tl.constexpr,
    W: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Offsets [L, W] of a chunk in a tensor [B, T, H, width], and which of them are inside it."""
    t = (first + tl.arange(0, L))[:, None]
    channel = tl.arange(0, W)[None, :]
    return ((row * time + t) * heads + head) * width + channel, (t < time) & (channel < width)


@triton.jit
def read_numbers(
    pointer: tl.tensor,
    row: tl.tensor,
    head: tl.tensor,
    first: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    L: tl.constexpr,
) -> tl.tensor:
    """[L] of a tensor [B, T, H]; zeros beyond its end."""
    t = first + tl.arange(0, L)
    return tl.load(pointer + (row * time + t) * heads + head, mask=t < time, other=0.0).to(tl.float32)


@triton.jit
def write_numbers(
    pointer: tl.tensor,
    values: tl.tensor,
    row: tl.tensor,
    head: tl.tensor,
    first: tl.tensor,
    time: tl.tensor,
    heads: tl.tensor,
    L: tl.constexpr,
) -> None:
    t = first + tl.arange(0, L)
    tl.store(pointer + (row * time + t) * heads + head, values, mask=t < time)


@triton.jit
def matrix_places(
    index: tl.tensor, rows: tl.tensor, columns: tl.tensor, R: tl.constexpr, C: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Offsets [R, C] of one matrix among many [rows, columns], and which of them are inside it."""
    i, j = tl.arange(0, R)[:, None], tl.arange(0, C)[None, :]
    return (index * rows + i) * columns + j, (i < rows) & (j < columns)


@triton.jit
def scalar_decays(
    decay: tl.tensor, segment: tl.tensor, L: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """What one log decay a token makes of a chunk.

    between [L, L]  of s < i <= t, where no reset stands between; 1 on the diagonal, 0 above it and across resets
    since   [L]     of all i <= t of the token's segment
    end     [L]     of all i > s; 0 for tokens that do not reach the end of the chunk
    total           of the last segment
    """
    t = tl.arange(0, L)
    until = (t[:, None] >= t[None, :]) & (segment[:, None] == segment[None, :])
    after = t[None, :] > t[:, None]
    last = segment == tl.max(segment, 0)
    spans = tl.cumsum(tl.where(t[:, None] > t[None, :], decay[:, None] + tl.zeros((L, L), tl.float32), 0.0), 0)
    between = tl.where(until, tl.exp(spans), 0.0)
    since = tl.exp(tl.sum(tl.where(until, decay[None, :], 0.0), 1))
    end = tl.where(last, tl.exp(tl.sum(tl.where(after, decay[None, :], 0.0), 1)), 0.0)
    total = tl.exp(tl.sum(tl.where(last, decay, 0.0), 0))
    return between, since, end, total


@triton.jit
def scalar_decays_backward(
    d_spans: tl.tensor,
    d_since: tl.tensor,
    d_end: tl.tensor,
    d_total: tl.tensor,
    segment: tl.tensor,
    L: tl.constexpr,
) -> tl.tensor:
    """[L]: the gradient of the log decays from those of the exponents of `scalar_decays`."""
    t = tl.arange(0, L)
    until = (t[:, None] >= t[None, :]) & (segment[:, None] == segment[None, :])
    last = segment == tl.max(segment, 0)
    later = tl.cumsum(d_spans, 0, reverse=True)
    found = tl.sum(tl.where(t[:, None] > t[None, :], later, 0.0), 1)
    found += tl.sum(tl.where(until, d_since[:, None], 0.0), 0)
    found += tl.sum(tl.where(t[None, :] > t[:, None], d_end[:, None], 0.0), 0)
    return found + tl.where(last, d_total, 0.0)
