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
    plain: Callable[..., Tensor], forward: Callable[..., Tensor], backward: Callable[..., tuple[Tensor | None, ...]]
) -> Callable[..., Tensor]:
    """A function of the arguments of `plain`, which computes it in differentiable torch operations.

    forward: the same by a kernel. backward: of the same arguments and the gradient of the result, the gradient of each
    argument, None for one that has none.
    """

    class Native(torch.autograd.Function):
        @staticmethod
        def forward(*given: Any) -> Tensor:
            return forward(*given)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
            ctx.given = [None if isinstance(value, Tensor) else (value,) for value in inputs]

        @staticmethod
        def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
            tensors = iter(ctx.saved_tensors)
            given = [next(tensors) if held is None else held[0] for held in ctx.given]
            with full_precision(d_out.device):
                if torch.is_grad_enabled():
                    return tuple(differentiable_gradient(plain, given, ctx.needs_input_grad, d_out))
                return backward(*given, d_out)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Tensor, int]:
            return torch.vmap(plain, in_dims)(*given), 0

    apply: Callable[..., Tensor] = Native.apply
    return apply
