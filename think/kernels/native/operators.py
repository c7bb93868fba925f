"""Native kernels as operators of torch, in the name space `think`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from think.kernels.native.library import KINDS

_LIBRARY = torch.library.Library("think", "FRAGMENT")


def register(
    schema: str, run: Callable[..., Any], shapes: Callable[..., Any], devices: tuple[str, ...] = ("CPU",)
) -> None:
    """Make `torch.ops.think.NAME` of a schema "NAME(arguments) -> results", without a gradient of its own.

    run: computes on these devices (dispatch keys of torch), and changes none of its arguments. shapes: gives empty
    results of the same shapes, types and strides, for torch.compile. The gradient is that of the
    torch.autograd.Function which calls it: in contrast to `register_autograd`, that one knows torch.func and costs a
    third of the time.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for device in devices:
        _LIBRARY.impl(name, run, device)
    torch.library.register_fake(f"think::{name}", shapes, lib=_LIBRARY)


def contiguous(*given: Any) -> tuple[Any, ...]:
    """The same tensors laid out without gaps; all else as it is."""
    return tuple(value.contiguous() if isinstance(value, Tensor) else value for value in given)


def kind(tensor: Tensor) -> int:
    """The number that common.h gives the type of a tensor."""
    return KINDS[tensor.dtype]
