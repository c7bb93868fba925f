"""The taps of `_taps.py` with the gradient written by hand: in place, and resets cost only where they are.

The few tokens whose window reaches back over a reset are done apart, with windows of their own (`Young`); all others
take one multiply-add per tap over the whole sequence. Where a gradient of the gradient may be wanted, and under `vmap`,
the plain form runs instead.

B batch  T time  C channels  W window (taps)  Y tokens less than W - 1 after a reset
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.causal_conv._taps import plain, token_age


@dataclass
class Young:
    """Tokens less than W - 1 after a reset: where they are, their age, and their windows [Y, C, W]."""

    rows: Tensor
    times: Tensor
    ages: Tensor
    windows: Tensor

    @classmethod
    def of(cls, x: Tensor, window: int, reset: Tensor, fresh: Tensor | None) -> "Young":
        age = token_age(reset, window)
        rows, times = (age < window - 1).nonzero(as_tuple=True)
        ages = age[rows, times]
        lags = torch.arange(window - 1, -1, -1, device=x.device)
        inside = lags <= ages[:, None]
        seen = x[rows[:, None], (times[:, None] - lags).clamp(min=0)].mT
        if fresh is None:
            return cls(rows, times, ages, seen * inside[:, None])
        column = (ages[:, None] + torch.arange(window, device=x.device)).clamp(max=window - 2)
        return cls(rows, times, ages, torch.where(inside[:, None], seen, fresh[:, column].transpose(0, 1)))


class Taps(torch.autograd.Function):
    """`plain`, faster."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        activation: str | None,
    ) -> Tensor:
        out = _weighted(x, weight, bias, state, reset, fresh)
        return silu(out, inplace=True) if activation == "silu" else out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.activation = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        given = ctx.saved_tensors
        with full_precision(d_out.device):
            if torch.is_grad_enabled():
                return tuple(differentiable_gradient(plain, (*given, ctx.activation), ctx.needs_input_grad, d_out))
            if ctx.activation == "silu":
                # added up again rather than kept: less memory, for little time
                d_out = torch.ops.aten.silu_backward(d_out, _weighted(*given))
            elif given[4] is not None:
                d_out = d_out.clone()  # ours to change
            return (*_backward(given, d_out), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return torch.vmap(plain, in_dims)(*inputs), 0


def _weighted(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor, reset: Tensor | None, fresh: Tensor | None
) -> Tensor:
    """The convolution without its activation."""
    time, window = x.shape[1], weight.shape[-1]
    taps = weight.t().contiguous()
    out = x * taps[-1] if bias is None else torch.addcmul(bias, x, taps[-1])
    for lag in range(1, window):
        tap = taps[window - 1 - lag]
        out[:, :lag].addcmul_(state[..., window - 1 - lag :][..., :time][..., :lag].mT, tap)
        if lag < time:
            out[:, lag:].addcmul_(x[:, :-lag], tap)
    if reset is not None and window > 1:
        young = Young.of(x, window, reset, fresh)
        again = (young.windows * weight).sum(-1)
        out[young.rows, young.times] = again if bias is None else again + bias
    return out


def _backward(given: tuple[Any, ...], d_out: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the six inputs from that of the sums before the activation, which is consumed."""
    x, weight, bias, state, reset, fresh = given
    time, window = x.shape[1], weight.shape[-1]
    taps = weight.t().contiguous()
    d_bias = None if bias is None else d_out.sum((0, 1))
    d_fresh = None if fresh is None or reset is None else torch.zeros_like(fresh)
    young = None
    if reset is not None and window > 1:
        young = Young.of(x, window, reset, fresh)
        d_young = d_out[young.rows, young.times]
        d_out[young.rows, young.times] = 0.0

    d_x = d_out * taps[-1]
    d_taps = torch.empty_like(taps)
    d_taps[-1] = (d_out * x).sum((0, 1))
    d_state = torch.zeros_like(state)
    for lag in range(1, window):
        place = window - 1 - lag
        early = d_out[:, :lag]
        entered = state[..., place:][..., :time][..., :lag].mT
        d_state[..., place:][..., :time][..., :lag].mT.addcmul_(early, taps[place])
        d_taps[place] = (early * entered).sum((0, 1))
        if lag < time:
            d_x[:, :-lag].addcmul_(d_out[:, lag:], taps[place])
            d_taps[place] += (d_out[:, lag:] * x[:, :-lag]).sum((0, 1))
    d_weight = d_taps.t()
    if young is not None:
        d_weight = d_weight + (young.windows * d_young[..., None]).sum(0)
        _backward_young(young, d_young, weight, d_x, d_fresh)
    return d_x, d_weight, d_bias, d_state, None, d_fresh


def _backward_young(young: Young, d_young: Tensor, weight: Tensor, d_x: Tensor, d_fresh: Tensor | None) -> None:
    """Adds the share of the young tokens to the gradients of x and fresh. No index occurs twice in one addition, so the
    sums do not depend on the order of threads."""
    window = weight.shape[-1]
    for lag in range(window):
        own = young.ages >= lag
        d_x[young.rows[own], young.times[own] - lag] += d_young[own] * weight[:, window - 1 - lag]
    if d_fresh is not None:
        for age in range(window - 1):
            at_age = d_young[young.ages == age].sum(0)
            d_fresh[:, age:] += weight[:, : window - 1 - age] * at_age[:, None]
