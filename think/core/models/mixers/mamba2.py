"""Mamba-2: a matrix state for each head, decayed by one data-dependent number.

S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T,   y_t = S_t C_t + D x_t,   out = W RMSNorm(y * silu(z))
[Dao & Gu 2024, "Transformers are SSMs": the Mamba-2 block]

B batch  T time  D width  E inner width  H heads  P head width  N state width  (one group of B and C for all heads)
"""

from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from think.core.models.initialisation import RetentionSettings, inverse_softplus, mamba_decay
from think.core.models.layers import RMSNorm, linear
from think.core.models.memory import TINY as TINY_MEMORY
from think.core.models.memory import Memory, MemorySettings
from think.core.models.mixers import Mixer, MixerModule, MixerSettings
from think.core.models.roles import Component, Role
from think.core.models.signed import Signed
from think.core.models.state import LayerState
from think.kernels.causal_conv import causal_conv
from think.kernels.decode import Operand, Program
from think.kernels.ssd import ssd
from think.presets.base import Settings as Base
from think.presets.base import knob

FIRST_STEPS = (0.001, 0.1)
"Range of the time steps before training, log-uniform over heads, as published."


class Branch(Base):
    """Sizes of one Mamba-2 mixer."""

    expand: PositiveInt = knob(2, acts_on="graph")
    "inner width as a multiple of the model's width"
    head_width: PositiveInt = knob(acts_on="graph")
    "channels in a head; must divide the inner width"
    state: PositiveInt = knob(acts_on="graph")
    "state width for each channel"
    window: PositiveInt = knob(4, acts_on="graph")
    "tokens that the causal convolution sees, the current one included"
    retention: RetentionSettings = Field(default_factory=lambda: RetentionSettings(fastest=0.98168, slowest=0.99988))
    "decay of the heads before training, at zero dt projection"
    negative_eigenvalues: bool = knob(False, acts_on="graph", came_later=True)
    "decays in (-1, 1) in place of (0, 1): a = 2 exp(dt A) - 1; a state that can be flipped can follow parity"

    def fits(self, width: int, memory: MemorySettings) -> None:
        """Raises ValueError when heads or state do not fit a model of this width."""
        inner = self.expand * width
        if inner % self.head_width:
            raise ValueError(
                f"the inner width, expand x width = {self.expand} x {width}, must be a multiple of Mamba-2's "
                f"head_width = {self.head_width}"
            )
        memory.fits(self.head_width, self.state)


class Settings(Branch, MixerSettings):
    """A model whose only mixer is Mamba-2."""

    kind: Literal["mamba2"] = "mamba2"
    memory: MemorySettings = Field(default_factory=MemorySettings)
    "start state and bounds"

    def check(self, width: int) -> None:
        """Raises ValueError when the mixer does not fit a model of this width."""
        self.fits(width, self.memory)


class Mamba2(MixerModule):
    """In-projection, causal convolution, state-space recurrence, gated norm, out-projection."""

    COMPONENT: Component = "mamba"
    ROLES: ClassVar[dict[str, Role]] = {
        "conv_weight": "vector",
        "conv_bias": "vector",
        "step_weight": "decay",
        "step_bias": "decay",
        "decay_log": "decay",
        "skip": "vector",
    }

    def __init__(self, settings: Branch, memory: MemorySettings, width: int, output_scale: float):
        super().__init__()
        self.implementation = "auto"
        self.inner, self.state = settings.expand * width, settings.state
        self.heads, self.window = self.inner // settings.head_width, settings.window
        convolved = self.inner + 2 * self.state
        self.project = linear(width, self.inner + convolved)
        self.step_weight = nn.Parameter(torch.empty(self.heads, width).normal_(std=width**-0.5))
        bound = settings.window**-0.5
        self.conv_weight = nn.Parameter(torch.empty(convolved, settings.window).uniform_(-bound, bound))
        self.conv_bias = nn.Parameter(torch.zeros(convolved))
        low, high = (torch.tensor(step).log() for step in FIRST_STEPS)
        first_steps = torch.exp(torch.empty(self.heads).uniform_() * (high - low) + low)
        self.step_bias = nn.Parameter(inverse_softplus(first_steps))
        self.signed = settings.negative_eigenvalues
        retention = settings.retention.halfway_to_one() if self.signed else settings.retention
        self.decay_log = nn.Parameter(mamba_decay(retention, functional.softplus(self.step_bias.detach())))
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = RMSNorm(self.inner)
        self.output = linear(self.inner, width, output_scale)
        self.memory = Memory(memory, self.heads, settings.head_width, self.state)

    def initial_state(self, batch: int) -> LayerState:
        return {
            "mamba.conv": torch.zeros(batch, len(self.conv_bias), self.window - 1, device=self.skip.device),
            "mamba.matrix": self.memory.initial(batch, self.skip),
        }

    def normalise(self, state: LayerState) -> LayerState:
        return {**state, "mamba.matrix": self.memory.normalise(state["mamba.matrix"])}

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        gate, to_conv = self.project(x).split([self.inner, len(self.conv_bias)], dim=-1)
        convolved, window = causal_conv(
            to_conv,
            self.conv_weight,
            self.conv_bias,
            state["mamba.conv"],
            reset=reset,
            activation="silu",
            implementation=self.implementation,
        )
        values, write, read = convolved.split([self.inner, self.state, self.state], dim=-1)
        # time steps set the decay: bfloat16 would blur retentions near 1
        step = functional.softplus(functional.linear(x, self.step_weight.to(x.dtype)).float() + self.step_bias)
        values = rearrange(values, "B T (H P) -> B T H P", H=self.heads)
        recur = self._signed if self.signed else self._recur
        out, matrix = recur(values, step, -torch.exp(self.decay_log.float()), write, read, state["mamba.matrix"], reset)
        gated = self.norm(out.flatten(2).to(x.dtype), gate)
        return self.output(gated), {"mamba.conv": window, "mamba.matrix": matrix}

    def _recur(
        self,
        values: Float[Tensor, "B T H P"],
        step: Float[Tensor, "B T H"],
        rate: Float[Tensor, "H"],
        write: Float[Tensor, "B T N"],
        read: Float[Tensor, "B T N"],
        matrix: Float[Tensor, "B H P N"],
        reset: Bool[Tensor, "B T"] | None,
        skip: Float[Tensor, "H"] | None = None,
    ) -> tuple[Float[Tensor, "B T H P"], Float[Tensor, "B H P N"]]:
        """Outputs and state of the recurrence; `rate` is below zero."""
        return ssd(
            values,
            step,
            rate,
            write.unsqueeze(2),
            read.unsqueeze(2),
            self.skip if skip is None else skip,
            matrix,
            reset=reset,
            fresh=self.memory.fresh,
            implementation=self.implementation,
        )

    def _signed(
        self,
        values: Float[Tensor, "B T H P"],
        step: Float[Tensor, "B T H"],
        rate: Float[Tensor, "H"],
        write: Float[Tensor, "B T N"],
        read: Float[Tensor, "B T N"],
        matrix: Float[Tensor, "B H P N"],
        reset: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T H P"], Float[Tensor, "B H P N"]]:
        """The same with decays in (-1, 1): the kernel's step makes the decay, so what is written is scaled instead."""
        signed = Signed.of(step * rate, reset)
        written = values * (signed.sign * step / -signed.log_decay).unsqueeze(-1)
        none = torch.zeros_like(self.skip)
        out, matrix = self._recur(
            written, -signed.log_decay, none - 1, write.to(written), read.to(written), matrix, reset, none
        )
        out = out * signed.sign.unsqueeze(-1) + self.skip[:, None] * values
        return out, matrix * signed.sign[:, -1, :, None, None]

    def lower(self, program: Program, x: Operand) -> Operand:
        """The same for one token."""
        channels = len(self.conv_bias)
        gate, to_conv = program.linear(x, self.project.weight).split(self.inner, channels)
        step = program.linear(x, self.step_weight)
        window = program.state("mamba.conv", channels, self.window - 1, transposed=True)
        taps = (program.vector(self.conv_weight.T), program.vector(self.conv_bias))
        convolved = program.apply("conv", to_conv, *taps, window, width=channels, sizes=(channels, self.window))
        program.apply("silu", convolved, out=convolved)
        values, write, read = convolved.split(self.inner, self.state, self.state)
        step = program.apply("add", step, program.vector(self.step_bias), out=step)
        step = program.apply("softplus", step, out=step)
        rate = program.vector(-torch.exp(self.decay_log.detach().float()))
        if program.traced:  # a state of one number for each head, into which nothing is written
            since, nothing = program.trace("mamba.matrix", self.heads, 1, 1), program.vector(torch.zeros(self.heads))
            inputs = (nothing, step, rate, nothing.part(0, 1), nothing.part(0, 1), nothing, since)
            sizes = (self.heads, 1, 1)
            program.apply("ssd", *inputs, width=self.heads, sizes=sizes, constant=float(self.signed))
        head_width = self.inner // self.heads
        out = program.apply(
            "ssd",
            values,
            step,
            rate,
            write,
            read,
            program.vector(self.skip),
            program.state("mamba.matrix", self.heads, head_width, self.state, transposed=True),
            width=self.inner,
            sizes=(self.heads, head_width, self.state),
            constant=float(self.signed),
        )
        program.apply("gate", out, gate, out=out)
        return program.linear(self.norm.lower(program, out), self.output.weight)

    @property
    def norm_period(self) -> int | None:
        return self.memory.period


def build(settings: Settings, width: int, output_scale: float) -> MixerModule:
    return Mamba2(settings, settings.memory, width, output_scale)


TINY = {"expand": 1, "head_width": 8, "state": 4, "window": 3, "retention": {"fastest": 0.9, "slowest": 0.99}}

SPEC = Mixer(Settings, build, tiny={**TINY, "memory": TINY_MEMORY})
