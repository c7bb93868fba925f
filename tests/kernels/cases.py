"""Which implementations a test meets, and how exactly each can be held to an exact result."""

from typing import Any

import torch

from think.kernels import choose
from think.kernels.compare import OPERATORS

IMPLEMENTATIONS = [(operator, name) for operator in OPERATORS for name in choose.usable(operator)]
"All that can run here; one that cannot says why, and test_native.py holds it to that."
FAST = [(operator, name) for operator, name in IMPLEMENTATIONS if name != "reference"]

SINGLE = {"rtol": 2e-4, "atol": 2e-4}
"Closeness in float32, for sums of some hundred numbers of size 1."


def best_kind(operator: str, name: str) -> torch.dtype:
    """float64 where an implementation has it, else float32."""
    return torch.float64 if choose.lacking(operator, name, "cpu", torch.float64) is None else torch.float32


def closeness(operator: str, name: str) -> dict[str, Any]:
    """Tolerances of torch.testing.assert_close in that type; none for float64, whose defaults are right."""
    return {} if best_kind(operator, name) == torch.float64 else SINGLE
