"""Gradients of gradients for operators whose gradient is written by hand.

Such an operator has a plain form beside it, made of differentiable torch operations. When the gradient itself must be
differentiable, it is taken through the plain form.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def differentiable_gradient(
    plain: Callable[..., Any], given: Sequence[Any], wanted: Sequence[bool], cotangent: Any
) -> list[Tensor | None]:
    """The gradient of `plain(*given)` for the arguments that are wanted, itself differentiable; None for the others.

    cotangent: one tensor for each output, in the structure that `plain` returns.
    """
    places = [place for place, argument in enumerate(given) if isinstance(argument, Tensor) and wanted[place]]

    def call(*leaves: Tensor) -> Any:
        arguments = list(given)
        for place, leaf in zip(places, leaves, strict=True):
            arguments[place] = leaf
        return plain(*arguments)

    pull = torch.func.vjp(call, *(given[place] for place in places))[1]
    gradients: list[Tensor | None] = [None] * len(given)
    for place, gradient in zip(places, pull(cotangent), strict=True):
        gradients[place] = gradient
    return gradients
