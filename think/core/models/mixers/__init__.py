"""Mixers: what lets a token see the ones before it. One file each; `kind = "NAME"` is the file NAME.py.

A mixer's file exports `SPEC = Mixer(Settings, build)`. `build(settings, width, output_scale)` returns a module with

    initial_state(batch) -> LayerState                       tensors named "<branch>.<what>", the batch first
    forward(x, state, reset) -> (out, state)                 x, out [B, T, D]; reset bool [B, T] or None
    normalise(state) -> LayerState                           StateNorm, called when the stream reaches its period
    norm_period: int | None

and obeys: no look-ahead; any cut of a stream into calls gives the same function; a reset hides all that came before.
The tests in tests/contract/test_mixers.py run for every file in this folder.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from think.presets.base import Settings


@dataclass(frozen=True)
class Mixer:
    """What a mixer's file exports."""

    Settings: type[Settings]
    build: Callable[..., nn.Module]
