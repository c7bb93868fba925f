"""What every operator does to its arguments before an implementation sees them.

Implementations get tensors of one accumulation type (float32, or float64 when any input is float64), a state that is
always there, and `reset` only when some token really resets; autocast is off while they run. One that reads bfloat16
itself (`reads_bfloat16`) gets the large inputs as they are.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


def accumulation_type(*tensors: Tensor | None) -> torch.dtype:
    """float64 when any of the tensors is, else float32. Raises TypeError unless all are floating point."""
    wide = False
    for tensor in tensors:
        if tensor is None:
            continue
        if not tensor.is_floating_point():
            raise TypeError(f"expected floating point tensors, got {tensor.dtype}")
        wide = wide or tensor.dtype == torch.float64
    return torch.float64 if wide else torch.float32


_READERS: set[str] = set()
"Modules whose `run` reads bfloat16; their names, since torch.compile can't look for a function in a set."


def reads_bfloat16(run: Callable[..., Any]) -> Callable[..., Any]:
    """Marks an implementation that takes its large inputs in bfloat16 too, and gives its outputs in it."""
    _READERS.add(run.__module__)
    return run


def input_type(run: Callable[..., Any], kind: torch.dtype, *tensors: Tensor) -> torch.dtype:
    """The type in which an implementation gets these inputs: the accumulation type, or bfloat16 as they are."""
    narrow = kind == torch.float32 and all(tensor.dtype == torch.bfloat16 for tensor in tensors)
    return torch.bfloat16 if narrow and run.__module__ in _READERS else kind


def expect_shape(operator: str, name: str, tensor: Tensor | None, *shape: int) -> None:
    """Raise ValueError unless the tensor, if there is one, has this shape."""
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{operator}: {name} has shape {tuple(tensor.shape)}, expected {shape}")


def expect_reset(operator: str, reset: Tensor | None, batch: int, time: int) -> None:
    """Raise unless `reset`, if there is one, is bool [batch, time]; and unless there is at least one token."""
    if time < 1:
        raise ValueError(f"{operator}: needs at least one token, got T = {time}")
    expect_shape(operator, "reset", reset, batch, time)
    if reset is not None and reset.dtype != torch.bool:
        raise TypeError(f"{operator}: reset must be bool, got {reset.dtype}")


def widened(tensor: Tensor, kind: torch.dtype, narrow: bool) -> Tensor:
    """The tensor in another type; as it is when it is bfloat16 and the implementation takes that (`narrow`)."""
    return tensor if narrow and tensor.dtype == torch.bfloat16 else tensor.to(kind)


def effective_reset(reset: Tensor | None) -> Tensor | None:
    """`reset`, or None when no token resets, so that a batch without resets pays nothing for them.

    Where looking would make the processor wait for a device, or cut a compiled graph in two, nobody looks.
    """
    if reset is None or reset.is_cuda or torch.compiler.is_compiling():
        return reset
    try:
        return reset if bool(reset.any()) else None
    except RuntimeError:  # under vmap, or on the meta device, values can't be looked at: keep the general path
        return reset


def entering_state(state: Tensor | None, fresh: Tensor | None, like: Tensor, *shape: int) -> Tensor:
    """The state before the first token: what was given, else `fresh` for each row, else zeros; of `like`'s type."""
    if state is not None:
        return state.to(like.dtype)
    if fresh is not None:
        return fresh.expand(shape)
    return like.new_zeros(shape)


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Switches autocast off: it would round what the operators accumulate."""
    if device.type != "meta" and torch.is_autocast_enabled(device.type):  # shapes have no autocast
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
