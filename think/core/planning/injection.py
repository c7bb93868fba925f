"""Injection: each layer's recurrent matrices move towards those of a copy that has already read a plan.

    alpha_l = rho * confidence_l * decay ** lag        S_l <- (1 - alpha_l) S_l + alpha_l S^_l

S^ is the state of a copy that consumed the planned tokens. Only recurrent matrices move: convolution windows, token
shifts and attention caches hold what was really read last, and stay. A gate of 0 leaves a layer as it is, bit for bit;
a gate of 1 makes its matrices those of the copy; between them no norm grows beyond the larger of the two.

A layer's gate is its own (sovereign): no layer is moved because another one is sure.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import NonNegativeInt

from think.core.models.state import LayerState, State
from think.presets.base import Fraction, Settings, knob

MATRIX = "matrix"
"Last part of the name of a recurrent matrix in a layer's state."


class InjectionSettings(Settings):
    """How far a plan moves the state, and what becomes of plans that come late."""

    rate: Fraction = knob(0.05, acts_on="evaluation")
    "rho: the gate of a layer that is sure, for a plan that is in time"
    decay: Fraction = knob(0.9, acts_on="evaluation")
    "what a gate is multiplied by for each token that the plan is late"
    longest_lag: NonNegativeInt = knob(16, acts_on="evaluation")
    "tokens; a plan that is later than this is dropped, and counted"
    crossing: Literal["recompute", "drop"] = knob("recompute", acts_on="evaluation")
    "a late plan on the far side of a StateNorm: read it again from the state of now, or drop it"
    diverged: Literal["drop", "apply"] = knob("drop", acts_on="evaluation")
    "a plan made ahead, for other tokens than those that were written: drop it, or add its change all the same"


def gates(settings: InjectionSettings, confidence: Sequence[float], lag: int) -> tuple[float, ...]:
    """alpha of each layer. confidence: in [0, 1] for each layer; lag: tokens. Raises ValueError outside of these."""
    if lag < 0 or not all(0.0 <= sure <= 1.0 for sure in confidence):
        raise ValueError(f"confidence {list(confidence)} and lag {lag}; expected shares and a number of tokens")
    late: float = settings.decay**lag  # 0 ** 0 is 1: without lag nothing decays
    return tuple(settings.rate * sure * late for sure in confidence)


def inject(state: State, target: State, alpha: Sequence[float]) -> State:
    """The state with its matrices moved towards those of `target`. A layer whose gate is 0 keeps its very tensors.

    alpha: one in [0, 1] for each layer. Raises ValueError for another number of layers, or a gate outside of [0, 1].
    """
    if not len(alpha) == len(state.layers) == len(target.layers):
        raise ValueError(f"{len(alpha)} gates for {len(state.layers)} layers and {len(target.layers)} targets")
    if not all(0.0 <= gate <= 1.0 for gate in alpha):
        raise ValueError(f"gates {list(alpha)}; expected shares")
    moved = (
        _moved(*layer) if layer[2] > 0.0 else layer[0] for layer in zip(state.layers, target.layers, alpha, strict=True)
    )
    return State(state.position, tuple(moved))


def _moved(layer: LayerState, target: LayerState, gate: float) -> LayerState:
    goals = matrices_of(target)
    if gate == 1.0:
        return {**layer, **goals}
    return {**layer, **{name: layer[name].lerp(goal.to(layer[name]), gate) for name, goal in goals.items()}}


def matrices_of(layer: LayerState) -> LayerState:
    """The recurrent matrices of a layer's state; none in a layer of attention."""
    return {name: tensor for name, tensor in layer.items() if name.rpartition(".")[2] == MATRIX}


def moves(before: State, after: State) -> tuple[float, ...]:
    """How far each layer's matrices went, as a share of their norm; 0 for a layer without matrices."""
    return tuple(
        _distance(matrices_of(old), matrices_of(new)) for old, new in zip(before.layers, after.layers, strict=True)
    )


def _distance(old: LayerState, new: LayerState) -> float:
    apart = sum(float((new[name] - tensor).square().sum()) for name, tensor in old.items())
    size = sum(float(tensor.square().sum()) for tensor in old.values())
    return math.sqrt(apart / size) if size > 0 else 0.0
