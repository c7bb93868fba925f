"""y = sigmoid(gate) x, the gate of the RWKV channel mix.    [Peng et al. 2024]"""

from jaxtyping import Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def sigmoid_gate(
    gate: Float[Tensor, "*any"], x: Float[Tensor, "*any"], *, implementation: str = "auto"
) -> Float[Tensor, "*any"]:
    """Number by number, of the type of x.

    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    arguments.accumulation_type(gate, x)
    arguments.expect_shape("sigmoid_gate", "gate", gate, *x.shape)
    found: Tensor = load("sigmoid_gate", implementation, x.device.type, x.dtype)(gate.to(x.dtype), x)
    return found
