"""The library of kernels in C: whether it is there and may be used, and how its functions are called.

A library that was built from other sources than those beside it is never used: `lacking` tells why, and by what command
it is built again.
"""

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from think.kernels.native import build

KINDS = {torch.float32: 0, torch.bfloat16: 1}
"Types of tensors that kernels take, by the number that common.h gives them."

FLAT = {torch.float32, torch.bfloat16, torch.bool, torch.int64}


@dataclass(frozen=True)
class Loaded:
    """An open library.

    digests: what each source file was when the library was built; levels: instruction sets that are both built and
    supported by this processor, the best last
    """

    functions: ctypes.CDLL
    digests: dict[str, str]
    levels: tuple[str, ...]


@functools.cache
def opened(path: Path = build.LIBRARY) -> Loaded | str:
    """The library, or why there is none."""
    if not path.exists():
        return f"the library of native kernels was not built; with a C compiler: {build.COMMAND}"
    try:
        functions = ctypes.CDLL(str(path))
        functions.think_digests.restype = ctypes.c_char_p
        text = functions.think_digests().decode()
        best = functions.think_level()
    except (OSError, AttributeError) as error:
        return f"the library of native kernels does not load ({error}); build it again: {build.COMMAND}"
    digests = dict(pair.split("=") for pair in text.split(";") if pair)
    return Loaded(functions, digests, build.levels()[: best + 1])


@functools.cache
def lacking(unit: str) -> str | None:
    """Why the kernels of a source file (its name without .c) cannot be used here; None when they can."""
    library = opened()
    if isinstance(library, str):
        return library
    for name in (build.ONCE, unit):  # what concerns all of them first
        if name not in library.digests:
            return f"the library was built without native/{name}.c; build it again: {build.COMMAND}"
        if library.digests[name] != build.digest(name):
            return f"native/{name}.c has changed since the library was built; build it again: {build.COMMAND}"
    return None


def lacks(unit: str, device: str, kind: torch.dtype) -> str | None:
    """Why an operator of this source file cannot run on tensors of a device and type; None when it can."""
    if device != "cpu":
        return f"native kernels are for the processor and not for {device}"
    if kind not in KINDS:
        return f"native kernels take float32 and bfloat16, not {str(kind).removeprefix('torch.')}"
    return lacking(unit)


def level() -> str | None:
    """The instruction set in use; None without a library."""
    library = opened()
    return None if isinstance(library, str) else _forced or library.levels[-1]


def levels() -> tuple[str, ...]:
    """All instruction sets that could be used here, the best last."""
    library = opened()
    return () if isinstance(library, str) else library.levels


_forced: str | None = None


@contextmanager
def using(name: str) -> Iterator[None]:
    """Take the kernels of another instruction set of `levels()`, for tests and measurements."""
    global _forced
    if name not in levels():
        raise ValueError(f"instruction set {name!r} cannot be used here; available: {', '.join(levels())}")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


Argument = Tensor | int | float | None


def call(name: str, *arguments: Argument) -> None:
    """Call `KERNEL(name)` of the instruction set in use; the number of threads is added as the last argument.

    A tensor goes as its address (None as NULL), an int or bool as int64_t, a float as float; the C function takes them
    in this order and gives an int, 0 when all went well. Raises ValueError for a tensor that is not contiguous, not on
    the processor, or of a type that kernels don't know; MemoryError when scratch memory ran out.
    """
    result = _function(name, level())(*map(_value, arguments), ctypes.c_int64(torch.get_num_threads()))
    if result:
        raise MemoryError(f"native kernel {name}: no memory for its scratch space")


def function(name: str) -> Any:
    """The ctypes function of `KERNEL(name)`, for callers that lay out its arguments, `threads` too, themselves."""
    return _function(name, level())


@functools.cache
def _function(name: str, instructions: str | None) -> Callable[..., int]:
    library = opened()
    if isinstance(library, str):
        raise RuntimeError(library)
    function: Callable[..., int] = getattr(library.functions, f"think_{name}_{instructions}")
    return function


def _value(argument: Argument) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        if argument.dtype not in FLAT or argument.device.type != "cpu" or not argument.is_contiguous():
            raise ValueError(
                f"a native kernel got a tensor of {argument.dtype} on {argument.device} with strides "
                f"{argument.stride()}, expected contiguous float32, bfloat16, bool or int64 on the processor"
            )
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(int(argument))
