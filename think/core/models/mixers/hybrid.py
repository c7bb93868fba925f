"""RWKV-6 and Mamba-2 side by side on the same input, each normalised, then fused.

out = fuse(RMSNorm(rwkv6(x)), RMSNorm(mamba2(x)))

The norms are what makes the two comparable: without them the branch with the larger output silences the other.
"""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from think.core.models.fusion import FusionSettings, HybridNormSettings, build_fusion
from think.core.models.layers import RMSNorm
from think.core.models.memory import TINY as TINY_MEMORY
from think.core.models.memory import MemorySettings
from think.core.models.mixers import Mixer, MixerModule, MixerSettings, mamba2, rwkv6
from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program


class Settings(MixerSettings):
    """Both recurrences in each block."""

    kind: Literal["hybrid"] = "hybrid"
    rwkv: rwkv6.Branch
    "sizes of the RWKV-6 branch"
    mamba: mamba2.Branch
    "sizes of the Mamba-2 branch"
    fusion: FusionSettings = Field(default_factory=HybridNormSettings)
    "how the two become one"
    memory: MemorySettings = Field(default_factory=MemorySettings)
    "start states and bounds of both branches"

    def check(self, width: int) -> None:
        """Raises ValueError when a branch does not fit a model of this width."""
        self.rwkv.fits(width, self.memory)
        self.mamba.fits(width, self.memory)


class Hybrid(MixerModule):
    """Two recurrent branches and the rule that joins them."""

    def __init__(self, settings: Settings, width: int, output_scale: float):
        super().__init__()
        self.rwkv = rwkv6.Rwkv6(settings.rwkv, settings.memory, width, 1.0)
        self.mamba = mamba2.Mamba2(settings.mamba, settings.memory, width, 1.0)
        self.rwkv_norm = RMSNorm(width)
        self.mamba_norm = RMSNorm(width)
        self.fusion = build_fusion(settings.fusion, width)
        self.output_scale = output_scale

    def initial_state(self, batch: int) -> LayerState:
        return {
            **self.rwkv.initial_state(batch),
            **self.mamba.initial_state(batch),
            **self.fusion.initial_state(batch),
        }

    def normalise(self, state: LayerState) -> LayerState:
        return self.mamba.normalise(self.rwkv.normalise(state))

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        r, rwkv_state = self.rwkv(x, state, reset)
        m, mamba_state = self.mamba(x, state, reset)
        fused, fusion_state = self.fusion(self.rwkv_norm(r), self.mamba_norm(m), state, reset)
        if self.output_scale != 1:
            fused = fused * self.output_scale
        return fused, {**rwkv_state, **mamba_state, **fusion_state}

    def branches(self) -> Mapping[str, nn.Module]:
        return {"rwkv": self.rwkv_norm, "mamba": self.mamba_norm}

    def lower(self, program: Program, x: Operand) -> Operand:
        """The same for one token."""
        both = program.register(2 * x.width)
        r, m = both.split(x.width, x.width)
        with program.temporaries():
            self.rwkv_norm.lower(program, self.rwkv.lower(program, x), r)
        with program.temporaries():
            self.mamba_norm.lower(program, self.mamba.lower(program, x), m)
        return program.apply("scale", self.fusion.lower(program, r, m, both), constant=self.output_scale)

    @property
    def norm_period(self) -> int | None:
        return self.rwkv.norm_period


def build(settings: Settings, width: int, output_scale: float) -> MixerModule:
    return Hybrid(settings, width, output_scale)


SPEC = Mixer(
    Settings,
    build,
    tiny={"rwkv": rwkv6.TINY, "mamba": mamba2.TINY, "memory": TINY_MEMORY, "fusion": {"kind": "hybrid_norm"}},
)
