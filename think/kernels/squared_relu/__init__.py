"""y = max(x, 0)^2, the activation of the RWKV channel mix.    [So et al. 2021, "Primer"; Peng et al. 2024]"""

from jaxtyping import Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def squared_relu(x: Float[Tensor, "*any"], *, implementation: str = "auto") -> Float[Tensor, "*any"]:
    """Number by number, of the type of x. Raises TypeError for integers, ValueError for an unknown implementation."""
    arguments.accumulation_type(x)
    found: Tensor = load("squared_relu", implementation, x.device.type, x.dtype)(x)
    return found
