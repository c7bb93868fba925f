"""A small model run for probing: which tokens, how long, where resets must stand, and how to shake parameters awake.

B batch  T time  V vocabulary
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core import seeding
from think.core.models.mixers.attention import Sizes
from think.core.models.state import State
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking

ROWS = 2
BEYOND = 23
"Tokens beyond one period of StateNorm: odd, and no multiple of any chunk."
SHORTEST = 70
"Tokens where there is no StateNorm: more than one chunk of 64 of the kernels."

AWAKE = {"matrix": 1.0, "embedding": 0.05, "vector": 0.2, "decay": 0.1, "state": 0.5}
"""Noise added to parameters, by role; for a matrix in units of 1 / sqrt(columns).

A fresh model is nearly deaf to its own state: output projections start at zero and gamma at 0.01, so a broken state
would hide below any tolerance. Shaken, every path carries."""


@dataclass(frozen=True)
class Probe:
    """Tokens [ROWS, T] and the resets without which full attention would refuse so many tokens."""

    tokens: Int[Tensor, "B T"]
    reset: Bool[Tensor, "B T"]

    @property
    def length(self) -> int:
        return self.tokens.shape[1]


def full_context(settings: ModelSettings) -> int | None:
    """Tokens of the longest document that the model takes; None when nothing bounds it."""
    sizes: list[Sizes] = [settings.anchors.attention] if settings.anchors else []
    if isinstance(settings.mixer, Sizes):
        sizes.append(settings.mixer)
    return min((size.context for size in sizes if not size.sliding), default=None)


def probe(settings: ModelSettings, norm_period: int | None, seed: int) -> Probe:
    """Random tokens over more than one period of StateNorm and more than one kernel chunk."""
    length = max(SHORTEST, 0 if norm_period is None else norm_period + BEYOND)
    context = full_context(settings)
    source = seeding.generator(seed, "gates", "probe")
    tokens = torch.randint(settings.vocabulary, (ROWS, length), generator=source)
    reset = torch.zeros(ROWS, length, dtype=torch.bool)
    if context is not None:
        reset[:, ::context] = True
    return Probe(tokens, reset)


@torch.no_grad()
def awaken(model: Thinking, seed: int) -> None:
    """Add noise to every parameter, so that every path through the model carries a signal."""
    source = seeding.generator(seed, "gates", "awake")
    roles = model.roles()
    for name, parameter in model.named_parameters():
        amount = AWAKE[roles[name]]
        if roles[name] == "matrix":
            amount /= parameter.shape[-1] ** 0.5
        parameter.add_(amount * torch.randn(parameter.shape, generator=source))


def in_chunks(
    model: Thinking, probe: Probe, cuts: list[int], *, hand_on: bool = True
) -> tuple[Float[Tensor, "B T V"], State]:
    """Logits of the probe fed in pieces that end at `cuts`; without `hand_on` each piece starts afresh."""
    state: State | None = None
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, probe.length], strict=True):
        if not hand_on:
            state = None
        logits, state = model(probe.tokens[:, start:stop], state, probe.reset[:, start:stop])
        parts.append(logits)
    assert state is not None
    return torch.cat(parts, dim=1), state


def by_steps(model: Thinking, probe: Probe) -> Float[Tensor, "B T V"]:
    """Logits of the probe fed one token at a time, by `step` wherever no reset is due."""
    state = model.initial_state(probe.tokens.shape[0])
    parts = []
    for place in range(probe.length):
        if probe.reset[:, place].any():
            logits, state = model(probe.tokens[:, place : place + 1], state, probe.reset[:, place : place + 1])
            parts.append(logits[:, 0])
        else:
            logits, state = model.step(probe.tokens[:, place], state)
            parts.append(logits)
    return torch.stack(parts, dim=1)


def distance(one: Tensor, other: Tensor) -> float:
    """max |a - b| / max |a|; NaN when either holds one."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(torch.finfo(one.dtype).tiny))


def state_distance(one: State, other: State) -> float:
    """The largest distance over all floating tensors of two states; 1 when any other tensor differs at all."""
    theirs = other.tensors()
    worst = 0.0
    for name, tensor in one.tensors().items():
        if not tensor.is_floating_point():
            worst = max(worst, 0.0 if torch.equal(tensor, theirs[name]) else 1.0)
        elif tensor.numel():
            found = distance(tensor, theirs[name])
            worst = found if found != found else max(worst, found)
    return worst
