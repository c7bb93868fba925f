"""torch.optim.AdamW without its preparations for torch.compile.

torch wraps the methods of its optimizers for the day that the optimizer itself is compiled, and the wrappers import the
compiler's front end: 1,500 modules, as long as `import torch`, in every process that takes a step. We compile models,
never the optimizer, so the methods below are torch's own without the wrappers. What they compute is the same.

AdamW: Loshchilov and Hutter 2019, algorithm 2.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch

_add_param_group: Callable[..., None] = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_zero_grad: Callable[..., None] = inspect.unwrap(torch.optim.Optimizer.zero_grad)
_step: Callable[..., None] = inspect.unwrap(torch.optim.AdamW.step)


class Eager(torch.optim.Optimizer):
    """What all optimizers inherit from torch, unwrapped; stands first among the bases of an optimizer."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        _add_param_group(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        _zero_grad(self, set_to_none)


class AdamW(Eager, torch.optim.AdamW):
    """AdamW; every option means what torch says that it means."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; a closure is not supported."""
        if closure is not None:
            raise ValueError("this AdamW takes no closure")
        _step(self)
