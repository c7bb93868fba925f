"""What all recurrent mixers have in common: where the state starts, and what keeps it in bounds.

h0         a trained start state, one matrix a head; it enters at the start of a stream and at every document reset
StateNorm  every `period` tokens the state of each head is scaled, group by group, to a root mean square of 1 times a
           trained gain. It acts when a stream *arrives* at a multiple of the period (counted since the start of the
           stream, resets ignored), before the token there is read; so the function does not depend on how a stream is
           cut, and whoever looks at a state sees it as the recurrence left it.
"""

from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from think.core.models.roles import Role
from think.presets.base import Settings, knob

STATE_EPSILON = 1e-5
"Added to a group's mean square, so that an empty state stays empty."


class StateNormSettings(Settings):
    """Periodic normalisation of the recurrent state."""

    groups: PositiveInt = knob(4, acts_on="graph")
    "equal groups that a head's flattened state is cut into; must divide rows x columns"
    period: PositiveInt = knob(256, acts_on="graph")
    "tokens between two normalisations, counted since the start of the stream"


class MemorySettings(Settings):
    """Start state and bounds of a recurrence."""

    h0: bool = knob(True, acts_on="graph")
    "train the state that a document starts from; otherwise it is zero"
    h0_deviation: NonNegativeFloat = knob(0.01, acts_on="graph")
    "standard deviation of the start state before training"
    norm: StateNormSettings | None = None
    "periodic normalisation of the state; none when absent"

    def fits(self, rows: int, columns: int) -> None:
        """Raises ValueError when the groups of StateNorm do not divide a state of `rows` x `columns`."""
        if self.norm is not None and (rows * columns) % self.norm.groups:
            raise ValueError(f"memory.norm.groups = {self.norm.groups} must divide a state of {rows} x {columns}")


class Memory(nn.Module):
    """Start state and StateNorm of one recurrence with `heads` matrices of `rows` x `columns`."""

    ROLES: ClassVar[dict[str, Role]] = {"h0": "state", "gain": "state"}

    def __init__(self, settings: MemorySettings, heads: int, rows: int, columns: int):
        super().__init__()
        self.shape = (heads, rows, columns)
        self.h0 = nn.Parameter(torch.empty(self.shape).normal_(std=settings.h0_deviation)) if settings.h0 else None
        self.groups = settings.norm.groups if settings.norm else 0
        self.period = settings.norm.period if settings.norm else None
        self.gain = nn.Parameter(torch.ones(rows, columns)) if settings.norm else None

    @property
    def fresh(self) -> Float[Tensor, "H R C"] | None:
        """The state that a document starts from; None means zero."""
        return self.h0

    def initial(self, batch: int, like: Tensor) -> Float[Tensor, "B H R C"]:
        """The start state for each stream, on the device of `like`."""
        if self.h0 is None:
            return torch.zeros(batch, *self.shape, device=like.device)
        return self.h0.float().expand(batch, *self.shape)

    def normalise(self, state: Float[Tensor, "B H R C"]) -> Float[Tensor, "B H R C"]:
        """Scale each group of each head to a root mean square of 1, times the gain; identity without StateNorm."""
        if self.gain is None:
            return state
        grouped = rearrange(state, "B H R C -> B H (R C)").unflatten(-1, (self.groups, -1))
        scaled = grouped * torch.rsqrt(grouped.square().mean(-1, keepdim=True) + STATE_EPSILON)
        return scaled.flatten(-2).unflatten(-1, self.shape[1:]) * self.gain


TINY = {"h0": True, "h0_deviation": 0.5, "norm": {"groups": 4, "period": 8}}
"For tests: a start state that is seen, a norm that acts within a few tokens."
