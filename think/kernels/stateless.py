"""The operators without a recurrence, for the comparison: how they are called, on what, and what they give.

N rows (tokens)   D channels   V vocabulary   S streams   B batch   T time
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from think.kernels.cross_entropy import cross_entropy
from think.kernels.group_norm import group_norm
from think.kernels.rms_norm import rms_norm
from think.kernels.scaled_sum import scaled_sum
from think.kernels.sigmoid_gate import sigmoid_gate
from think.kernels.squared_relu import squared_relu
from think.kernels.token_mix import token_mix

VOCABULARY, REAL_VOCABULARY, MANY_ROWS = 37, 4096, 1024
"From so many rows on, the vocabulary is one that a model may have."
EPSILON = 1e-5

OPERATORS: dict[str, Callable[..., Any]] = {
    "cross_entropy": cross_entropy,
    "group_norm": group_norm,
    "rms_norm": rms_norm,
    "scaled_sum": scaled_sum,
    "sigmoid_gate": sigmoid_gate,
    "squared_relu": squared_relu,
    "token_mix": token_mix,
}

RESULTS: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("objective", "losses", "entropies"),
    "token_mix": ("first", "second", "third"),
}
"Names of what an operator gives, in order, where that is more than `out`."


@dataclass(frozen=True)
class Sizes:
    """Axis lengths of a comparison, and where documents begin (only token_mix asks)."""

    batch: int
    time: int
    heads: int
    channels: int
    reset: Tensor | None

    @property
    def rows(self) -> int:
        return self.batch * self.time


Normal = Callable[..., Tensor]
"Standard normal numbers of a shape, float64."
Given = tuple[dict[str, Tensor], dict[str, Any]]
"tensors that get gradients, by name; the other arguments"


def inputs(operator: str, sizes: Sizes, normal: Normal) -> Given:
    """Random arguments of an operator."""
    return _INPUTS[operator](sizes, normal)


def _cross_entropy(sizes: Sizes, normal: Normal) -> Given:
    rows, vocabulary = sizes.rows, VOCABULARY if sizes.rows < MANY_ROWS else REAL_VOCABULARY
    tensors = {"hidden": normal(rows, sizes.channels), "table": normal(vocabulary, sizes.channels)}
    options = {
        "targets": (normal(rows).abs() * vocabulary).long() % vocabulary,
        "weights": (normal(rows) > -1).float(),
        "entropy_bonus": 0.3,
        "cap": 8.0,
    }
    return tensors, options


def _group_norm(sizes: Sizes, normal: Normal) -> Given:
    tensors = {name: normal(sizes.rows, sizes.channels) for name in ("x", "gate")}
    tensors |= {name: normal(sizes.channels) for name in ("weight", "bias")}
    return tensors, {"groups": sizes.heads, "epsilon": EPSILON}


def _rms_norm(sizes: Sizes, normal: Normal) -> Given:
    tensors = {name: normal(sizes.rows, sizes.channels) for name in ("x", "gate")}
    return {**tensors, "weight": normal(sizes.channels)}, {"epsilon": EPSILON}


def _scaled_sum(sizes: Sizes, normal: Normal) -> Given:
    tensors = {name: normal(sizes.rows, sizes.channels) for name in ("x", "z")}
    return {**tensors, **{name: normal(sizes.channels) for name in ("a", "b")}}, {}


def _sigmoid_gate(sizes: Sizes, normal: Normal) -> Given:
    return {name: normal(sizes.rows, sizes.channels) for name in ("gate", "x")}, {}


def _squared_relu(sizes: Sizes, normal: Normal) -> Given:
    return {"x": normal(sizes.rows, sizes.channels)}, {}


def _token_mix(sizes: Sizes, normal: Normal) -> Given:
    shape = (sizes.batch, sizes.time, sizes.channels)
    tensors = {"x": normal(*shape), "last": normal(sizes.batch, sizes.channels), "share": normal(3, *shape)}
    return tensors, {"reset": sizes.reset}


_INPUTS: dict[str, Callable[[Sizes, Normal], Given]] = {
    "cross_entropy": _cross_entropy,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
    "scaled_sum": _scaled_sum,
    "sigmoid_gate": _sigmoid_gate,
    "squared_relu": _squared_relu,
    "token_mix": _token_mix,
}
