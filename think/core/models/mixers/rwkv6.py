"""RWKV-6 time mix: a matrix state for each head, decayed channel by channel as the data say.

S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T,   o_t = r_t . (S_{t-1} + diag(bonus) k_t v_t^T)
[Peng et al. 2024, "Eagle and Finch": the Finch time mix]

B batch  T time  D width  H heads  K head width (keys and values alike)
"""

import math
from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from think.core.models.initialisation import RetentionSettings, rwkv_decay
from think.core.models.layers import LowRank, linear
from think.core.models.memory import TINY as TINY_MEMORY
from think.core.models.memory import Memory, MemorySettings
from think.core.models.mixers import Mixer, MixerModule, MixerSettings
from think.core.models.roles import Component, Role
from think.core.models.signed import Signed
from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program
from think.kernels.group_norm import group_norm
from think.kernels.rwkv6 import rwkv6
from think.kernels.token_mix import token_mix
from think.presets.base import Settings as Base
from think.presets.base import knob

MIXED = ("decay", "receptance", "key", "value", "gate")
"The five streams that token shift prepares, in the order of the rows of `mix`."

GROUP_EPSILON = 64e-5
"The published constant of the per-head norm: 1e-5 times 8 squared."


class Branch(Base):
    """Sizes of one RWKV-6 time mix."""

    heads: PositiveInt = knob(acts_on="graph")
    "heads; must divide the model's width"
    mix_rank: PositiveInt = knob(acts_on="graph")
    "rank of the data-dependent token-shift mixing"
    decay_rank: PositiveInt = knob(acts_on="graph")
    "rank of the data-dependent decay"
    retention: RetentionSettings = Field(default_factory=lambda: RetentionSettings(fastest=0.9999, slowest=0.9999))
    "decay of the key channels before training"
    negative_eigenvalues: bool = knob(False, acts_on="graph", came_later=True)
    "decays in (-1, 1) in place of (0, 1): twice the decay, less one; a state that can be flipped can follow parity"

    def fits(self, width: int, memory: MemorySettings) -> None:
        """Raises ValueError when heads or state do not fit a model of this width."""
        if width % self.heads:
            nearest = max(self.heads, round(width / self.heads) * self.heads)
            raise ValueError(f"width = {width} must be a multiple of {self.heads} RWKV-6 heads; nearest: {nearest}")
        memory.fits(width // self.heads, width // self.heads)


class Settings(Branch, MixerSettings):
    """A model whose only mixer is RWKV-6."""

    kind: Literal["rwkv6"] = "rwkv6"
    memory: MemorySettings = Field(default_factory=MemorySettings)
    "start state and bounds"

    def check(self, width: int) -> None:
        """Raises ValueError when the mixer does not fit a model of this width."""
        self.fits(width, self.memory)


class Rwkv6(MixerModule):
    """The time mix with its projections, token shift and trained start state."""

    COMPONENT: Component = "rwkv"
    ROLES: ClassVar[dict[str, Role]] = {
        "mix_all": "vector",
        "mix": "vector",
        "mix_down": "decay",
        "mix_up": "decay",
        "decay_bias": "decay",
        "bonus": "vector",
    }

    def __init__(self, settings: Branch, memory: MemorySettings, width: int, output_scale: float):
        super().__init__()
        self.implementation = "auto"
        self.heads, self.head_width = settings.heads, width // settings.heads
        rank = settings.mix_rank
        self.mix_all = nn.Parameter(torch.full((width,), 0.5))
        self.mix = nn.Parameter(torch.full((len(MIXED), width), 0.5))
        self.mix_down = nn.Parameter(torch.empty(width, len(MIXED) * rank).normal_(std=1 / math.sqrt(width)))
        self.mix_up = nn.Parameter(torch.empty(len(MIXED), rank, width).uniform_(-0.01, 0.01))
        self.receptance = linear(width, width)
        self.key = linear(width, width)
        self.value = linear(width, width)
        self.gate = linear(width, width)
        self.output = linear(width, width, output_scale)
        self.signed = settings.negative_eigenvalues
        retention = settings.retention.halfway_to_one() if self.signed else settings.retention
        self.decay_bias = nn.Parameter(rwkv_decay(retention, width))
        self.decay = LowRank(width, settings.decay_rank, width)
        self.bonus = nn.Parameter(torch.linspace(1.0, 0.0, width).view(self.heads, self.head_width))
        self.norm = nn.GroupNorm(self.heads, width, eps=GROUP_EPSILON)
        self.memory = Memory(memory, self.heads, self.head_width, self.head_width)

    def initial_state(self, batch: int) -> LayerState:
        shape = (batch, self.heads * self.head_width)
        return {
            "rwkv.shift": torch.zeros(shape, device=self.mix.device),
            "rwkv.matrix": self.memory.initial(batch, self.mix),
        }

    def normalise(self, state: LayerState) -> LayerState:
        return {**state, "rwkv.matrix": self.memory.normalise(state["rwkv.matrix"])}

    def mixed(
        self, x: Float[Tensor, "B T D"], last: Float[Tensor, "B D"], reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], ...]:
        """Each stream's own blend of a token and its predecessor, with a data-dependent share."""
        by = self.implementation
        (plain,) = token_mix(x, last, self.mix_all.unsqueeze(0), reset=reset, implementation=by)
        low = torch.tanh(plain @ self.mix_down.to(x.dtype))
        low = rearrange(low, "B T (five R) -> five (B T) R", five=len(MIXED))
        share = torch.baddbmm(self.mix.to(x.dtype).unsqueeze(1), low, self.mix_up.to(x.dtype))
        return token_mix(x, last, share.view(-1, *x.shape), reset=reset, implementation=by)

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        to_decay, to_receptance, to_key, to_value, to_gate = self.mixed(x, state["rwkv.shift"], reset)
        heads = "B T (H K) -> B T H K"
        receptance = rearrange(self.receptance(to_receptance), heads, H=self.heads)
        key = rearrange(self.key(to_key), heads, H=self.heads)
        value = rearrange(self.value(to_value), heads, H=self.heads)
        # the exponent of an exponent: bfloat16 would blur retentions near 1
        log_decay = -torch.exp(self.decay_bias.float() + self.decay(to_decay).float())
        recur = self._signed if self.signed else self._recur
        log_decay = rearrange(log_decay, heads, H=self.heads)
        out, matrix = recur(receptance, key, value, log_decay, state["rwkv.matrix"], reset)
        gated = group_norm(
            out.flatten(2),
            self.norm.weight,
            self.norm.bias,
            self.gate(to_gate),
            groups=self.heads,
            epsilon=GROUP_EPSILON,
            implementation=self.implementation,
        )
        return self.output(gated), {"rwkv.shift": x[:, -1].float(), "rwkv.matrix": matrix}

    def _recur(
        self,
        receptance: Float[Tensor, "B T H K"],
        key: Float[Tensor, "B T H K"],
        value: Float[Tensor, "B T H K"],
        log_decay: Float[Tensor, "B T H K"],
        matrix: Float[Tensor, "B H K K"],
        reset: Bool[Tensor, "B T"] | None,
        bonus: Float[Tensor, "H K"] | None = None,
    ) -> tuple[Float[Tensor, "B T H K"], Float[Tensor, "B H K K"]]:
        """Outputs and state of the recurrence."""
        return rwkv6(
            receptance,
            key,
            value,
            log_decay,
            self.bonus if bonus is None else bonus,
            matrix,
            reset=reset,
            fresh=self.memory.fresh,
            implementation=self.implementation,
        )

    def _signed(
        self,
        receptance: Float[Tensor, "B T H K"],
        key: Float[Tensor, "B T H K"],
        value: Float[Tensor, "B T H K"],
        log_decay: Float[Tensor, "B T H K"],
        matrix: Float[Tensor, "B H K K"],
        reset: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T H K"], Float[Tensor, "B H K K"]]:
        """The same with decays in (-1, 1). What is read is the state before this token; the bonus has no sign."""
        signed = Signed.of(log_decay, reset)
        asked, written = receptance * signed.before(reset), key * signed.sign
        none = torch.zeros_like(self.bonus)
        out, matrix = self._recur(asked, written, value.to(written), signed.log_decay, matrix, reset, none)
        out = out + (receptance * self.bonus * key).sum(-1, keepdim=True) * value
        return out, matrix * signed.sign[:, -1].unsqueeze(-1)

    def lower(self, program: Program, x: Operand) -> Operand:
        """The same for one token."""
        before = program.state("rwkv.shift", x.width)
        blended = program.apply("lerp", x, before, program.vector(self.mix_all))
        low = program.linear(blended, self.mix_down.T)
        parts = program.apply("tanh", low, out=low).split(*[self.mix_up.shape[1]] * len(MIXED))
        # maps that do not wait for one another stand together, so that threads may share them
        streams = [program.linear(part, up.T) for part, up in zip(parts, self.mix_up, strict=True)]
        for share, mix in zip(streams, self.mix, strict=True):
            program.apply("add", share, program.vector(mix), out=share)
            program.apply("lerp", x, before, share, out=share)
        program.keep(x, before)
        to_decay, *others = streams
        maps = (self.receptance, self.key, self.value, self.gate)
        receptance, key, value, gate = (program.linear(to, map_.weight) for to, map_ in zip(others, maps, strict=True))
        decay = self.decay.lower(program, to_decay)
        decay = program.apply("add", decay, program.vector(self.decay_bias), out=decay)
        decay = program.apply("decay", decay, out=decay)
        if self.signed:
            decay = program.apply("scale", decay, out=decay, constant=2.0)
            decay = program.apply("add", decay, program.vector(torch.full_like(self.mix_all, -1.0)), out=decay)
        if program.traced:
            since = program.trace("rwkv.matrix", self.heads, self.head_width, 1)
            program.apply("multiply", since, decay, out=since)
        sizes = (self.heads, self.head_width, self.head_width)
        out = program.apply(
            "rwkv6",
            receptance,
            key,
            value,
            decay,
            program.vector(self.bonus),
            program.state("rwkv.matrix", *sizes),
            width=x.width,
            sizes=sizes,
        )
        affine = (program.vector(self.norm.weight), program.vector(self.norm.bias))
        program.apply("group_norm", out, *affine, out=out, sizes=(self.heads,), constant=self.norm.eps)
        return program.linear(program.apply("gate", out, gate, out=out), self.output.weight)

    @property
    def norm_period(self) -> int | None:
        return self.memory.period


def build(settings: Settings, width: int, output_scale: float) -> MixerModule:
    return Rwkv6(settings, settings.memory, width, output_scale)


TINY = {"heads": 2, "mix_rank": 2, "decay_rank": 2, "retention": {"fastest": 0.9, "slowest": 0.99}}

SPEC = Mixer(Settings, build, tiny={**TINY, "memory": TINY_MEMORY})
