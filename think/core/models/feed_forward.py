"""Feed-forward parts: what each token does by itself between two mixers.

B batch  T time  D width  E inner width
"""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from think.core.models.layers import linear
from think.core.models.roles import Component, Role
from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program
from think.kernels.sigmoid_gate import sigmoid_gate
from think.kernels.squared_relu import squared_relu
from think.kernels.token_mix import token_mix
from think.presets.base import Settings, knob


class GeluSettings(Settings):
    """Two maps with a GELU between them."""

    kind: Literal["gelu"] = "gelu"
    inner: PositiveInt = knob(acts_on="graph")
    "inner width, channels"


class ChannelMixSettings(Settings):
    """RWKV channel mix: squared ReLU, token shift, and a receptance gate."""

    kind: Literal["channel_mix"] = "channel_mix"
    inner: PositiveInt = knob(acts_on="graph")
    "inner width, channels"


FeedForwardSettings = Annotated[GeluSettings | ChannelMixSettings, Field(discriminator="kind")]


class FeedForward(nn.Module):
    """A feed-forward part, with the state that token shift needs, if any."""

    def initial_state(self, batch: int) -> LayerState:
        """What `batch` streams start from."""
        return {}

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        """The transformed stream, and the state to hand to the next call."""
        raise NotImplementedError

    def lower(self, program: Program, x: Operand) -> Operand:
        """Append what `forward` does with one token to a decoding program."""
        raise NotImplementedError


class Gelu(FeedForward):
    """down(gelu(up(x)))"""

    COMPONENT: Component = "ffn"

    def __init__(self, settings: GeluSettings, width: int, output_scale: float):
        super().__init__()
        self.up = linear(width, settings.inner)
        self.down = linear(settings.inner, width, output_scale)

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        return self.down(functional.gelu(self.up(x))), {}

    def lower(self, program: Program, x: Operand) -> Operand:
        inner = program.linear(x, self.up.weight)
        return program.linear(program.apply("gelu", inner, out=inner), self.down.weight)


class ChannelMix(FeedForward):
    """sigmoid(R x_r) * V relu(K x_k)^2, where x_* mixes each token with its predecessor.    [Peng et al. 2024]"""

    COMPONENT: Component = "ffn"
    ROLES: ClassVar[dict[str, Role]] = {"mix_key": "vector", "mix_receptance": "vector"}

    def __init__(self, settings: ChannelMixSettings, width: int, output_scale: float):
        super().__init__()
        self.implementation = "auto"
        self.mix_key = nn.Parameter(torch.full((width,), 0.5))
        self.mix_receptance = nn.Parameter(torch.full((width,), 0.5))
        self.key = linear(width, settings.inner)
        self.receptance = linear(width, width)
        self.value = linear(settings.inner, width, output_scale)

    def initial_state(self, batch: int) -> LayerState:
        return {"shift": torch.zeros(batch, len(self.mix_key), device=self.mix_key.device)}

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        share, by = torch.stack([self.mix_key, self.mix_receptance]), self.implementation
        to_key, to_receptance = token_mix(x, state["shift"], share, reset=reset, implementation=by)
        value = self.value(squared_relu(self.key(to_key), implementation=by))
        out = sigmoid_gate(self.receptance(to_receptance), value, implementation=by)
        return out, {"shift": x[:, -1].float()}

    def lower(self, program: Program, x: Operand) -> Operand:
        before = program.state("shift", x.width)
        to_key = program.apply("lerp", x, before, program.vector(self.mix_key))
        to_receptance = program.apply("lerp", x, before, program.vector(self.mix_receptance))
        program.keep(x, before)
        key, receptance = program.linear(to_key, self.key.weight), program.linear(to_receptance, self.receptance.weight)
        value = program.linear(program.apply("relu_square", key, out=key), self.value.weight)
        return program.apply("multiply", value, program.apply("sigmoid", receptance, out=receptance), out=value)


def build_feed_forward(settings: GeluSettings | ChannelMixSettings, width: int, output_scale: float) -> FeedForward:
    """The module that the settings' kind names."""
    match settings:
        case GeluSettings():
            return Gelu(settings, width, output_scale)
        case ChannelMixSettings():
            return ChannelMix(settings, width, output_scale)
