"""One differentiable function out of a pair of kernels, one the gradient of the other.

The backward kernel gets what the forward kernel got: nothing else is kept. Where a gradient of the gradient may be
wanted, and under `vmap`, the plain form runs instead.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient


def function(
    plain: Callable[..., Any], forward: Callable[..., Any], backward: Callable[..., tuple[Tensor | None, ...]]
) -> Callable[..., Any]:
    """A function of the arguments of `plain`, which computes it in differentiable torch operations.

    forward: the same by a kernel. backward: of the same arguments and the gradient of the result (a tuple of those of
    each, where there are several), the gradient of each argument, None for one that has none.
    """

    class Native(torch.autograd.Function):
        @staticmethod
        def forward(*given: Any) -> Any:
            return forward(*given)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            ctx.several = isinstance(output, tuple)
            ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
            ctx.given = [None if isinstance(value, Tensor) else (value,) for value in inputs]

        @staticmethod
        def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
            d_out = slopes if ctx.several else slopes[0]
            tensors = iter(ctx.saved_tensors)
            given = [next(tensors) if held is None else held[0] for held in ctx.given]
            with full_precision(slopes[0].device):
                if torch.is_grad_enabled():
                    return tuple(differentiable_gradient(plain, given, ctx.needs_input_grad, d_out))
                return backward(*given, d_out)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Any, Any]:
            found = torch.vmap(plain, in_dims)(*given)
            return found, (0,) * len(found) if isinstance(found, tuple) else 0

    apply: Callable[..., Any] = Native.apply
    return apply
