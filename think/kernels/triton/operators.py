"""Kernels in Triton as operators of torch, in the name space `think`, beside the native ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from think.kernels.native.operators import contiguous
from think.kernels.native.operators import register as register_for
from think.kernels.triton.available import interpreted


def register(schema: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Make `torch.ops.think.NAME` of a schema; see think.kernels.native.operators.register.

    run: gets tensors without gaps, on the device that is current. On a processor it runs in Triton's interpreter.
    """

    def launch(*given: Any) -> Any:
        packed = contiguous(*given)
        with _device(packed[0]):
            found = run(*packed)
        return _rounded(found, shapes(*packed)) if interpreted() else found

    register_for(schema, launch, shapes, devices=("CUDA", "CPU"))


def _rounded(found: Any, wanted: Any) -> Any:
    """What the interpreter found, in the types that a GPU gives."""
    if isinstance(found, Tensor):
        return found.to(wanted.dtype)
    return tuple(one.to(other.dtype) for one, other in zip(found, wanted, strict=True))


def _device(tensor: Tensor) -> AbstractContextManager[object]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
