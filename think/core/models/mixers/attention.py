"""Causal softmax attention over the last `context` tokens, with a ring of keys and values as its state.

Positions are rotary and count from the start of the document, so a token and the ones it sees agree on them whatever
calls they came in.    [Su et al. 2021, "RoFormer"]

B batch  T time  D width  H heads  K head width  W context
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional

from think.core.errors import BadData
from think.core.models.layers import linear
from think.core.models.mixers import Mixer, MixerModule, MixerSettings
from think.core.models.roles import Component
from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program
from think.presets.base import knob

ROTARY_BASE = 10_000.0
"Wavelengths run from 2 pi to 2 pi times this many tokens, as published."


class Sizes(MixerSettings):
    """Sizes of one attention layer."""

    heads: PositiveInt = knob(acts_on="graph")
    "heads; must divide the model's width into even parts"
    context: PositiveInt = knob(acts_on="graph")
    "tokens that a token sees, itself included; also the length of the cache"
    sliding: bool = knob(True, acts_on="graph")
    "forget what is older than `context`; otherwise a document longer than that is an error"

    def check(self, width: int) -> None:
        """Raises ValueError when the heads do not divide a model of this width into even parts."""
        part = 2 * self.heads
        if width % part:
            nearest = max(part, round(width / part) * part)
            raise ValueError(
                f"width = {width} must be a multiple of twice {self.heads} attention heads; nearest: {nearest}"
            )


class Settings(Sizes):
    """A model whose only mixer is attention: a transformer."""

    kind: Literal["attention"] = "attention"


class Attention(MixerModule):
    """Multi-head attention whose cache is bounded by its context."""

    COMPONENT: Component = "attention"

    def __init__(self, settings: Sizes, width: int, output_scale: float):
        super().__init__()
        self.heads, self.head_width = settings.heads, width // settings.heads
        self.context, self.sliding = settings.context, settings.sliding
        self.project = linear(width, 3 * width)
        self.output = linear(width, width, output_scale)
        exponent = torch.arange(0, self.head_width, 2, dtype=torch.float64) / self.head_width
        self.register_buffer("frequency", ROTARY_BASE**-exponent, persistent=False)
        self.frequency: Tensor

    def initial_state(self, batch: int) -> LayerState:
        kept, device = self.context - 1, self.frequency.device
        shape = (batch, kept, self.heads, self.head_width)
        return {
            "attention.keys": torch.zeros(shape, device=device),
            "attention.values": torch.zeros(shape, device=device),
            "attention.known": torch.zeros(batch, kept, dtype=torch.bool, device=device),
            "attention.length": torch.zeros(batch, dtype=torch.int64, device=device),
        }

    def rotate(self, x: Float[Tensor, "B T H K"], positions: Int[Tensor, "B T"]) -> Float[Tensor, "B T H K"]:
        """Turn each pair of channels by position times frequency; angles in float64, for positions without bound."""
        angle = positions.unsqueeze(-1) * self.frequency
        cosine, sine = (turn.to(x.dtype).unsqueeze(2) for turn in (angle.cos(), angle.sin()))
        left, right = x.chunk(2, dim=-1)
        return torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)

    def visible(
        self, known: Bool[Tensor, "B S"], time: int, reset: Bool[Tensor, "B T"] | None
    ) -> Bool[Tensor, "B 1 T W"]:
        """Which keys (cached ones first) each of the `time` queries may see."""
        kept = known.shape[1] - time
        distance = torch.arange(kept, kept + time, device=known.device).unsqueeze(1) - torch.arange(
            kept + time, device=known.device
        )
        allowed = (distance >= 0) & (distance < self.context) & known.unsqueeze(1)
        if reset is not None:
            document = reset.cumsum(1)
            of_key = functional.pad(document, (kept, 0))
            allowed = allowed & (document.unsqueeze(2) == of_key.unsqueeze(1))
        return allowed.unsqueeze(1)

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        time = x.shape[1]
        projected = rearrange(self.project(x), "B T (three H K) -> three B T H K", three=3, H=self.heads)
        query, new_keys, new_values = projected.unbind()
        length = self.lengths(state["attention.length"], time, reset)
        positions = length - 1
        keys = torch.cat([state["attention.keys"].to(x.dtype), self.rotate(new_keys, positions)], dim=1)
        values = torch.cat([state["attention.values"].to(x.dtype), new_values], dim=1)
        known = functional.pad(state["attention.known"], (0, time), value=True)
        kept = self.context - 1
        attended = functional.scaled_dot_product_attention(
            self.rotate(query, positions).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=self.visible(known, time, reset),
        )
        if reset is not None:
            # what stands before the last reset is never seen again
            last = (reset.cumsum(1) == reset.sum(1, keepdim=True)) | ~reset.any(1, keepdim=True)
            known = torch.cat([known[:, :kept] & ~reset.any(1, keepdim=True), last], dim=1)
        return self.output(rearrange(attended, "B H T K -> B T (H K)")), {
            "attention.keys": keys[:, keys.shape[1] - kept :].float(),
            "attention.values": values[:, values.shape[1] - kept :].float(),
            "attention.known": known[:, known.shape[1] - kept :],
            "attention.length": length[:, -1],
        }

    def lower(self, program: Program, x: Operand) -> Operand:
        """The same for one token; the cache is a ring in the order of places, not of age."""
        query, key, value = program.linear(x, self.project.weight).split(x.width, x.width, x.width)
        angles = program.rotary(self.frequency)
        sizes = (self.heads, self.head_width)
        for turned in (query, key):
            program.apply("turn", turned, angles, out=turned, sizes=sizes)
        with program.under("attention"):
            out = program.attention(query, key, value, heads=self.heads, context=self.context, sliding=self.sliding)
        return program.linear(out, self.output.weight)

    def lengths(self, before: Int[Tensor, "B"], time: int, reset: Bool[Tensor, "B T"] | None) -> Int[Tensor, "B T"]:
        """Tokens of the document up to each one. Raises BadData when full attention would have to forget some."""
        steps = torch.arange(1, time + 1, device=before.device)
        run = before.unsqueeze(1) + steps
        if reset is not None:
            started = torch.where(reset, steps - 1, -1).cummax(1).values
            run = torch.where(started >= 0, steps - started, run)
        if not self.sliding and not before.is_meta and int(run.max()) > self.context:
            raise BadData(
                f"a document of at least {int(run.max())} tokens meets full attention over {self.context}",
                expected="a context that covers the document, or sliding attention",
                remedy=f"set the attention's context to {int(run.max())} or more, or sliding = true",
            )
        return run


def build(settings: Settings, width: int, output_scale: float) -> MixerModule:
    return Attention(settings, width, output_scale)


SPEC = Mixer(Settings, build, tiny={"heads": 2, "context": 6})
