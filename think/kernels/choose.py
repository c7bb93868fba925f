"""Which implementation of an operator runs. The folder is the registry.

An operator is a sub-package of `think.kernels`; each module in it, but for names that begin with an underscore, is an
implementation and exports `run`. A new file is a new implementation: nothing here is edited, unless "auto" should
prefer it. "auto" is resolved once per operator and device kind, and `resolve` tells what it became.
"""

import difflib
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

AUTO = "auto"
PREFERENCE = ("chunked", "reference")
"What auto takes: the first of these that the operator has."

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


@functools.cache
def resolve(operator: str, implementation: str = AUTO) -> str:
    """The name that an implementation's name stands for: itself, or what "auto" becomes.

    Raises ValueError, with the nearest and all names, when the operator has no such implementation.
    """
    available = implementations(operator)
    if implementation == AUTO:
        return next(name for name in PREFERENCE if name in available)
    if implementation not in available:
        raise ValueError(_unknown(f"{operator} implementation", implementation, (AUTO, *available)))
    return implementation


@functools.cache
def load(operator: str, implementation: str = AUTO) -> Callable[..., Any]:
    """The `run` of an implementation; imports its module only."""
    return importlib.import_module(f"think.kernels.{operator}.{resolve(operator, implementation)}").run


def _unknown(what: str, name: str, available: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name, available, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"there is no {what} named {name!r}; {hint}available: {', '.join(available)}"
