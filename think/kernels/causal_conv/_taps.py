"""Causal convolution over the whole sequence at once: one shifted multiply-add per tap, plain differentiable torch.

Tap j looks `lag` = W - 1 - j tokens back. With resets, a tap that looks back over one is cut off and what `fresh` has
in its place is added.

B batch  T time  C channels  W window (taps)
"""

import torch
from torch import Tensor
from torch.nn.functional import silu


def plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    activation: str | None,
) -> Tensor:
    """The outputs. Arguments as `think.kernels.causal_conv.causal_conv`, all of one floating type."""
    time, window = x.shape[1], weight.shape[-1]
    seen = torch.cat([state.mT, x], 1)
    taps = weight.unbind(-1)
    out = x * taps[-1]
    age = None if reset is None else token_age(reset, window)
    for lag in range(1, window):
        earlier = seen[:, window - 1 - lag : window - 1 - lag + time]
        if age is not None:
            earlier = earlier * (age >= lag)[..., None]
        out = out + earlier * taps[window - 1 - lag]
    if bias is not None:
        out = out + bias
    if age is not None and fresh is not None:
        for young in range(window - 1):
            # `young` tokens after a reset, lag l > young reads the (l - young)-th last column of fresh.
            given = (weight[:, : window - 1 - young] * fresh[:, young:]).sum(-1)
            out = out + (age == young)[..., None] * given
    return silu(out) if activation == "silu" else out


def last_window(x: Tensor, state: Tensor, reset: Tensor | None, fresh: Tensor | None) -> Tensor:
    """The inputs [B, C, W-1] that the token after the last one will look back on."""
    width, time = state.shape[-1], x.shape[1]
    if width == 0:
        return state
    tail = x[:, -width:].mT
    last = tail if time >= width else torch.cat([state[..., time:], tail], -1)
    return last if reset is None else _after_reset(last, token_age(reset, width + 1)[:, -1], fresh)


def token_age(reset: Tensor, window: int) -> Tensor:
    """[B, T]: tokens since the last reset (0 at it), or `window` where that is too far back to matter."""
    place = torch.arange(reset.shape[1], device=reset.device)
    latest = torch.where(reset, place, -window).cummax(-1).values
    return (place - latest).clamp(max=window)


def _after_reset(last: Tensor, age: Tensor, fresh: Tensor | None) -> Tensor:
    """The final window [B, C, W-1], given that the last reset was `age` [B] tokens before the last token."""
    width = last.shape[-1]
    column = torch.arange(width, device=last.device)
    after = (column >= width - 1 - age[:, None])[:, None]
    if fresh is None:
        return last * after
    source = (column + age[:, None] + 1).clamp(max=width - 1)[:, None].expand(last.shape)
    return torch.where(after, last, fresh.expand(last.shape).gather(-1, source))
