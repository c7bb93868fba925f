"""Mixers: what lets a token see the ones before it. One file each; `kind = "NAME"` is the file NAME.py.

A mixer's file exports `SPEC = Mixer(Settings, build, tiny)`; `build(settings, width, output_scale)` returns a
`MixerModule`. It obeys: no look-ahead; any cut of a stream into calls gives the same function; a reset hides all that
came before. The tests in tests/contract/test_mixers.py run for every file in this folder.

B batch  T time  D width
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program
from think.presets.base import Settings


class MixerSettings(Settings):
    """What the Settings of a mixer derive from."""

    def check(self, width: int) -> None:
        """Raises ValueError when the mixer does not fit a model of this width; by default every width fits."""


class MixerModule(nn.Module):
    """A mixer of one block. Its state has tensors named "<branch>.<what>", the batch first."""

    def initial_state(self, batch: int) -> LayerState:
        """What `batch` streams start from."""
        raise NotImplementedError

    def normalise(self, state: LayerState) -> LayerState:
        """StateNorm, called when a stream arrives at a multiple of `norm_period`."""
        return state

    @property
    def norm_period(self) -> int | None:
        """Tokens between two calls of `normalise`; None: never."""
        return None

    def branches(self) -> Mapping[str, nn.Module]:
        """Modules whose outputs [B, T, D] are joined into the mixed stream, by name; none where there is one path."""
        return {}

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        """The mixed stream, and the state to hand to the next call."""
        raise NotImplementedError

    def lower(self, program: Program, x: Operand) -> Operand:
        """Append what `forward` does with one token to a decoding program; a mixer may do without.

        State is declared under the names and shapes that `initial_state` has; `normalise` is called as it is.
        Raises NotImplementedError in a mixer that has no such form; models with it decode step by step.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Mixer:
    """What a mixer's file exports."""

    Settings: type[MixerSettings]
    build: Callable[..., MixerModule]
    tiny: Mapping[str, Any]
    "a preset's settings of the smallest one that shows all it does, for width 16; the contract and effect tests use it"
