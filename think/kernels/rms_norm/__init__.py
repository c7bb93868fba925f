"""Each row divided by its root mean square, with a gain for each channel; on request gated first.

    u = x silu(gate)          y = u / sqrt(mean u^2 + epsilon) weight

Sources: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization"; the gate is that of the Mamba-2 block (Dao & Gu
2024).

D channels
"""

from jaxtyping import Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def rms_norm(
    x: Float[Tensor, "*batch D"],
    weight: Float[Tensor, "D"],
    gate: Float[Tensor, "*batch D"] | None = None,
    *,
    epsilon: float,
    implementation: str = "auto",
) -> Float[Tensor, "*batch D"]:
    """The rows of x, normed; of the type of x.

    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    arguments.expect_shape("rms_norm", "weight", weight, x.shape[-1])
    arguments.expect_shape("rms_norm", "gate", gate, *x.shape)
    kind = arguments.accumulation_type(x, weight, gate)
    run = load("rms_norm", implementation, x.device.type, x.dtype)
    with arguments.full_precision(x.device):
        found: Tensor = run(x, weight.to(kind), None if gate is None else gate.to(x.dtype), epsilon)
        return found
