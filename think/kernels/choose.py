"""Which implementation of an operator runs. The folder is the registry.

An operator is a sub-package of `think.kernels`; each module in it, but for names that begin with an underscore, is an
implementation and exports `run`. A new file is a new implementation: nothing here is edited, unless "auto" should
prefer it. An implementation that cannot run on every machine, device and type of number exports `lacks(device, kind)`
too, which gives the reason why it cannot, or None. "auto" is the first of PREFERENCE that can; `resolve` tells what it
became, once for each operator, device and type. "chunked" names the best form in torch's own operations: of an operator
without a recurrence there is one such form, its reference. "triton" stands for the same where Triton has no kernel.
"""

import difflib
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

AUTO, NATIVE, TRITON, CHUNKED, REFERENCE = "auto", "native", "triton", "chunked", "reference"
PREFERENCE = {"cpu": (NATIVE, CHUNKED, REFERENCE), "cuda": (TRITON, CHUNKED, REFERENCE)}
"What auto takes: the first of its device's that the operator has and that can run there, with its type of number."
ELSEWHERE = (CHUNKED, REFERENCE)
"The same for any other device."

_HERE = Path(__file__).parent


@functools.cache
def operators() -> tuple[str, ...]:
    """Names of the operators; imports none of them."""
    return tuple(sorted(path.parent.name for path in _HERE.glob("*/reference.py")))


@functools.cache
def implementations(operator: str) -> tuple[str, ...]:
    """Names of an operator's implementations; imports none of them. Raises ValueError for an unknown operator."""
    if operator not in operators():
        raise ValueError(_unknown("operator", operator, operators()))
    return tuple(sorted(path.stem for path in (_HERE / operator).glob("*.py") if not path.stem.startswith("_")))


class CannotRun(ValueError):
    """An implementation was asked for by name where it cannot run; the message says why."""


@functools.cache
def lacking(operator: str, implementation: str, device: str = "cpu", kind: torch.dtype = torch.float32) -> str | None:
    """Why an implementation cannot run on a device (its type, such as "cpu") with numbers of a type; None when it can.

    Raises ValueError, with the nearest and all names, when the operator has no such implementation.
    """
    available = implementations(operator)
    if implementation not in available:
        raise ValueError(_unknown(f"{operator} implementation", implementation, (AUTO, *available)))
    module = _module(operator, implementation)
    reason: str | None = module.lacks(device, kind) if hasattr(module, "lacks") else None
    return reason


def usable(operator: str, device: str = "cpu", kind: torch.dtype = torch.float32) -> tuple[str, ...]:
    """Names of the implementations that can run on a device with numbers of a type."""
    return tuple(name for name in implementations(operator) if lacking(operator, name, device, kind) is None)


def names(operator: str) -> set[str]:
    """Names that an operator answers to: those of its implementations, and "chunked" and "triton" in any case."""
    return {CHUNKED, TRITON, *implementations(operator)}


@functools.cache
def resolve(operator: str, implementation: str = AUTO, device: str = "cpu", kind: torch.dtype = torch.float32) -> str:
    """The name that an implementation's name stands for: itself, or what "auto" becomes.

    Raises ValueError, with the nearest and all names, when the operator has no such implementation, and CannotRun when
    it has one that cannot run on this machine, device or type of number.
    """
    available = implementations(operator)
    if implementation == TRITON and TRITON not in available:
        implementation = CHUNKED
    if implementation == CHUNKED and CHUNKED not in available:
        return REFERENCE
    if implementation == AUTO:
        wanted = (name for name in PREFERENCE.get(device, ELSEWHERE) if name in available)
        return next(name for name in wanted if lacking(operator, name, device, kind) is None)
    reason = lacking(operator, implementation, device, kind)
    if reason is not None:
        raise CannotRun(f"{operator}: implementation {implementation!r} cannot run here: {reason}")
    return implementation


_FOUND: dict[tuple[str, str, str, torch.dtype], Callable[..., Any]] = {}
"What `load` has found: a plain table, which torch.compile can look into."


def load(
    operator: str, implementation: str = AUTO, device: str = "cpu", kind: torch.dtype = torch.float32
) -> Callable[..., Any]:
    """The `run` of an implementation; imports no module that is not asked about. Raises as `resolve` does."""
    key = (operator, implementation, device, kind)
    if key not in _FOUND:
        _FOUND[key] = _module(operator, resolve(*key)).run
    return _FOUND[key]


_NARROW: dict[tuple[str, str, str, torch.dtype], bool] = {}


def takes_narrow(
    operator: str, implementation: str = AUTO, device: str = "cpu", kind: torch.dtype = torch.float32
) -> bool:
    """Whether an implementation reads bfloat16 inputs as they are (its module says `NARROW = True`).

    Others get every input in the type that they accumulate in.
    """
    key = (operator, implementation, device, kind)
    if key not in _NARROW:
        _NARROW[key] = getattr(_module(operator, resolve(*key)), "NARROW", False)
    return _NARROW[key]


def _module(operator: str, implementation: str) -> ModuleType:
    return importlib.import_module(f"think.kernels.{operator}.{implementation}")


def _unknown(what: str, name: str, available: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name, available, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"there is no {what} named {name!r}; {hint}available: {', '.join(available)}"
