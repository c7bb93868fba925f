"""Start values that give a requested decay, and the measurement that proves it.

A retention is the factor by which one step multiplies the state, before any input has a say. Channels (RWKV-6) or
heads (Mamba-2) are spaced from `fastest` to `slowest` retention, evenly in ln(1 - retention): from 0.98168 = 1 - e^-4
(half-life 37.5 tokens) to 0.99988 = 1 - e^-9 (half-life 5,616 tokens) for instance.

The arithmetic is in float64: near 1, float32 knows only seven digits of a retention whose distance to 1 is the point.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from think.presets.base import Settings, knob

Retention = Annotated[float, Field(gt=0.0, lt=1.0)]


class RetentionSettings(Settings):
    """Share of the state that one step keeps at the start of training, spaced over channels or heads."""

    fastest: Retention = knob(acts_on="graph")
    "smallest retention for each step; the memory that forgets soonest"
    slowest: Retention = knob(acts_on="graph")
    "largest retention for each step; equal to `fastest` for the same everywhere"

    def halfway_to_one(self) -> "RetentionSettings":
        """The r for which 2 r - 1 are these retentions: what a recurrence with decays in (-1, 1) starts from."""
        return RetentionSettings(fastest=(1 + self.fastest) / 2, slowest=(1 + self.slowest) / 2)


def retentions(settings: RetentionSettings, count: int) -> Float[Tensor, "count"]:
    """`count` retentions in float64, evenly spaced in ln(1 - retention)."""
    ends = math.log1p(-settings.fastest), math.log1p(-settings.slowest)
    return (
        -torch.expm1(torch.linspace(*ends, count, dtype=torch.float64))
        if count > 1
        else torch.tensor([settings.slowest], dtype=torch.float64)
    )


def rwkv_decay(settings: RetentionSettings, count: int) -> Float[Tensor, "count"]:
    """w0 with exp(-exp(w0)) = retention; 0.9999 gives -9.2103."""
    return torch.log(-torch.log(retentions(settings, count))).float()


def mamba_decay(settings: RetentionSettings, step: Float[Tensor, "count"]) -> Float[Tensor, "count"]:
    """A_log with exp(-exp(A_log) * step) = retention, for the time steps that a zero dt projection gives."""
    return torch.log(-torch.log(retentions(settings, len(step))) / step.double()).float()


def inverse_softplus(x: Float[Tensor, "count"]) -> Float[Tensor, "count"]:
    """The y with softplus(y) = x, exact for small x."""
    return x + torch.log(-torch.expm1(-x))
