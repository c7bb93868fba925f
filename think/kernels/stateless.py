"""The operators that carry nothing from call to call, for the comparison: how they are called, on what, what they give.

N rows (tokens)   D channels   V vocabulary
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from think.kernels.cross_entropy import cross_entropy

Normal = Callable[..., Tensor]
"Standard normal numbers of a shape, float64."
Given = tuple[dict[str, Tensor], dict[str, Any]]
"tensors that get gradients, by name; the other arguments"

VOCABULARY, REAL_VOCABULARY, MANY_ROWS = 37, 4096, 1024
"From so many rows on, the vocabulary is one that a model may have."

OPERATORS: dict[str, Callable[..., Any]] = {"cross_entropy": cross_entropy}

RESULTS: dict[str, tuple[str, ...]] = {"cross_entropy": ("objective", "losses", "entropies")}
"Names of what each gives, in order."


def inputs(operator: str, rows: int, channels: int, normal: Normal) -> Given:
    """Random arguments of an operator."""
    return _INPUTS[operator](rows, channels, normal)


def _cross_entropy(rows: int, channels: int, normal: Normal) -> Given:
    size = VOCABULARY if rows < MANY_ROWS else REAL_VOCABULARY
    tensors = {"hidden": normal(rows, channels), "table": normal(size, channels)}
    options = {
        "targets": (normal(rows).abs() * size).long() % size,
        "weights": (normal(rows) > -1).float(),
        "entropy_bonus": 0.3,
        "cap": 8.0,
    }
    return tensors, options


_INPUTS: dict[str, Callable[[int, int, Normal], Given]] = {"cross_entropy": _cross_entropy}
