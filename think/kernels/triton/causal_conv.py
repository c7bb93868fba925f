"""Causal convolution in Triton: every tap of a block of tokens and channels, forward and backward.

A token's age is the number of tokens since the last reset. A tap that looks back further than that sees `fresh`, one
that looks back beyond the first token sees the entering window.

B batch  T time  C channels  W window (taps)
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from think.kernels.triton.available import empty

TOKENS, CHANNELS = 32, 64
"Size of a block. TOKENS is at least the window less one, so that only the first block reads the entering window."


@triton.jit
def _ages(reset: tl.tensor, row: tl.tensor, t: tl.tensor, time: tl.tensor, W: tl.constexpr) -> tl.tensor:
    """Tokens since the last reset, 0 at it; W where that is too far back to matter."""
    age = tl.zeros_like(t) + W
    if reset is not None:
        for back in tl.static_range(W):
            begins = tl.load(reset + row * time + t - back, mask=(t >= back) & (t < time), other=0)
            age = tl.where((begins != 0) & (age == W), back, age)
    return age


@triton.jit
def _seen(
    x: tl.tensor,
    state: tl.tensor,
    fresh: tl.tensor,
    row: tl.tensor,
    t: tl.tensor,
    channel: tl.tensor,
    age: tl.tensor,
    time: tl.tensor,
    channels: tl.tensor,
    LAG: tl.constexpr,
    W: tl.constexpr,
) -> tl.tensor:
    """[tokens, channels]: what the tap that looks LAG tokens back sees."""
    here = (channel < channels)[None, :]
    alive = (age >= LAG)[:, None]
    past = (t - LAG)[:, None]
    places = (row * time + past) * channels + channel[None, :]
    found = tl.load(x + places, mask=here & alive & (past >= 0) & (past < time), other=0.0).to(tl.float32)
    if LAG > 0:
        entered = (row * channels + channel[None, :]) * (W - 1) + W - 1 + past
        found += tl.load(state + entered, mask=here & alive & (past < 0), other=0.0)
        if fresh is not None:
            began = channel[None, :] * (W - 1) + W - 1 - LAG + age[:, None]
            found += tl.load(fresh + began, mask=here & (age < LAG)[:, None], other=0.0)
    return found


@triton.jit
def _sums(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    state: tl.tensor,
    fresh: tl.tensor,
    row: tl.tensor,
    t: tl.tensor,
    channel: tl.tensor,
    age: tl.tensor,
    time: tl.tensor,
    channels: tl.tensor,
    W: tl.constexpr,
    N: tl.constexpr,
    C: tl.constexpr,
) -> tl.tensor:
    """The convolution without its activation."""
    found = tl.zeros((N, C), tl.float32)
    if bias is not None:
        found += tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    for lag in tl.static_range(W):
        tap = tl.load(weight + channel * W + W - 1 - lag, mask=channel < channels, other=0.0)
        found += _seen(x, state, fresh, row, t, channel, age, time, channels, lag, W) * tap[None, :]
    return found


@triton.jit
def _forward(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    state: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    out: tl.tensor,
    time: tl.tensor,
    channels: tl.tensor,
    SILU: tl.constexpr,
    W: tl.constexpr,
    N: tl.constexpr,
    C: tl.constexpr,
) -> None:
    row = tl.program_id(2).to(tl.int64)
    t, channel = tl.program_id(0) * N + tl.arange(0, N), tl.program_id(1) * C + tl.arange(0, C)
    age = _ages(reset, row, t, time, W)
    found = _sums(x, weight, bias, state, fresh, row, t, channel, age, time, channels, W, N, C)
    if SILU:
        found = found * tl.sigmoid(found)
    places = (row * time + t[:, None]) * channels + channel[None, :]
    tl.store(out + places, found, mask=(t < time)[:, None] & (channel < channels)[None, :])


@triton.jit
def _slopes(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    state: tl.tensor,
    reset: tl.tensor,
    fresh: tl.tensor,
    d_out: tl.tensor,
    d_sums: tl.tensor,
    d_taps: tl.tensor,
    d_state: tl.tensor,
    d_fresh: tl.tensor,
    time: tl.tensor,
    channels: tl.tensor,
    SILU: tl.constexpr,
    W: tl.constexpr,
    N: tl.constexpr,
    C: tl.constexpr,
) -> None:
    """Gradients before the activation, and a block's share of those of taps, bias, entering window and `fresh`.

    d_taps [blocks, W + 1, C], the bias last; d_fresh [blocks, W - 1, C].
    """
    row = tl.program_id(2).to(tl.int64)
    t, channel = tl.program_id(0) * N + tl.arange(0, N), tl.program_id(1) * C + tl.arange(0, C)
    here, inside = channel < channels, (t < time)[:, None] & (channel < channels)[None, :]
    places = (row * time + t[:, None]) * channels + channel[None, :]
    age = _ages(reset, row, t, time, W)
    slope = tl.load(d_out + places, mask=inside, other=0.0).to(tl.float32)
    if SILU:
        found = _sums(x, weight, bias, state, fresh, row, t, channel, age, time, channels, W, N, C)
        share = tl.sigmoid(found)
        slope = slope * share * (1 + found * (1 - share))
    tl.store(d_sums + places, slope, mask=inside)

    block = row * tl.num_programs(0) + tl.program_id(0)
    for lag in tl.static_range(W):
        met = tl.sum(slope * _seen(x, state, fresh, row, t, channel, age, time, channels, lag, W), 0)
        tl.store(d_taps + (block * (W + 1) + W - 1 - lag) * channels + channel, met, mask=here)
    tl.store(d_taps + (block * (W + 1) + W) * channels + channel, tl.sum(slope, 0), mask=here)
    for column in tl.static_range(W - 1):
        began = tl.zeros((C,), tl.float32)
        entered = tl.zeros((C,), tl.float32)
        for lag in tl.static_range(W - 1 - column, W):
            tap = tl.load(weight + channel * W + W - 1 - lag, mask=here, other=0.0)
            # `lag` back from there is that column: of `fresh` at this age, of the entering window at this token
            at = column - (W - 1) + lag
            began += tap * tl.sum(tl.where((age == at)[:, None], slope, 0.0), 0)
            entered += tap * tl.sum(tl.where(((t == at) & (age >= lag))[:, None], slope, 0.0), 0)
        if fresh is not None:
            tl.store(d_fresh + (block * (W - 1) + column) * channels + channel, began, mask=here)
        if tl.program_id(0) == 0:
            tl.store(d_state + (row * channels + channel) * (W - 1) + column, entered, mask=here)


@triton.jit
def _inputs(
    weight: tl.tensor,
    reset: tl.tensor,
    d_sums: tl.tensor,
    d_x: tl.tensor,
    time: tl.tensor,
    channels: tl.tensor,
    W: tl.constexpr,
    N: tl.constexpr,
    C: tl.constexpr,
) -> None:
    """The gradient of x: of each token, what the tokens that look back on it found."""
    row = tl.program_id(2).to(tl.int64)
    t, channel = tl.program_id(0) * N + tl.arange(0, N), tl.program_id(1) * C + tl.arange(0, C)
    found = tl.zeros((N, C), tl.float32)
    sees = t < time
    for lag in tl.static_range(W):
        later = t + lag
        sees = sees & (later < time)
        if lag > 0 and reset is not None:
            sees = sees & (tl.load(reset + row * time + later, mask=later < time, other=0) == 0)
        tap = tl.load(weight + channel * W + W - 1 - lag, mask=channel < channels, other=0.0)
        places = (row * time + later[:, None]) * channels + channel[None, :]
        found += tl.load(d_sums + places, mask=sees[:, None] & (channel < channels)[None, :], other=0.0) * tap[None, :]
    places = (row * time + t[:, None]) * channels + channel[None, :]
    tl.store(d_x + places, found, mask=(t < time)[:, None] & (channel < channels)[None, :])


def _grid(x: Tensor) -> tuple[int, int, int]:
    return triton.cdiv(x.shape[1], TOKENS), triton.cdiv(x.shape[2], CHANNELS), x.shape[0]


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
) -> Tensor:
    """The outputs. Arguments as `think.kernels.causal_conv.causal_conv`, without gaps."""
    out = empty(x)
    sizes = (*x.shape[1:], silu, weight.shape[1], TOKENS, CHANNELS)
    _forward[_grid(x)](x, weight, bias, state, reset, None if reset is None else fresh, out, *sizes)
    return out


def backward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    silu: bool,
    d_out: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias, state and `fresh` from that of the outputs; the last empty where it had no part."""
    grid, window = _grid(x), weight.shape[1]
    fresh = None if reset is None else fresh
    blocks = grid[0] * grid[2]
    d_x, d_sums = empty(x), weight.new_empty(x.shape)
    d_taps = weight.new_empty((blocks, window + 1, x.shape[2]))
    d_state = torch.empty_like(state)
    d_fresh = weight.new_empty((0,) if fresh is None else (blocks, window - 1, x.shape[2]))
    found = (d_sums, d_taps, d_state, d_fresh)
    sizes = (*x.shape[1:], silu, window, TOKENS, CHANNELS)
    _slopes[grid](x, weight, bias, state, reset, fresh, d_out, *found, *sizes)
    _inputs[grid](weight, reset, d_sums, d_x, *x.shape[1:], window, TOKENS, CHANNELS)
    summed = d_taps.sum(0)
    d_began = d_fresh if fresh is None else d_fresh.sum(0).t().contiguous()
    return d_x, summed[:window].t().contiguous(), summed[window].clone(), d_state, d_began
