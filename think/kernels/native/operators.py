"""Native kernels as operators of torch, in the name space `think`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from think.kernels.native.library import KINDS

_LIBRARY = torch.library.Library("think", "FRAGMENT")


def register(schema: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Make `torch.ops.think.NAME` of a schema "NAME(arguments) -> results", without a gradient of its own.

    run: computes on the processor, and changes none of its arguments. shapes: gives empty results of the same shapes,
    types and strides, for torch.compile. The gradient is that of the torch.autograd.Function which calls it: in
    contrast to `register_autograd`, that one knows torch.func and costs a third of the time.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, run, "CPU")
    torch.library.register_fake(f"think::{name}", shapes, lib=_LIBRARY)


def contiguous(*tensors: Tensor | None) -> tuple[Any, ...]:
    """The same tensors laid out without gaps."""
    return tuple(None if tensor is None else tensor.contiguous() for tensor in tensors)


def kind(tensor: Tensor) -> int:
    """The number that common.h gives the type of a tensor."""
    return KINDS[tensor.dtype]
