"""y = a x + b z, with a gain for each channel of each: a residual with its scale, or two branches joined.

D channels
"""

from jaxtyping import Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def scaled_sum(
    x: Float[Tensor, "*batch D"],
    z: Float[Tensor, "*batch D"],
    b: Float[Tensor, "D"],
    a: Float[Tensor, "D"] | None = None,
    *,
    implementation: str = "auto",
) -> Float[Tensor, "*batch D"]:
    """The sum, of the type of x. a: ones when absent.

    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    arguments.expect_shape("scaled_sum", "z", z, *x.shape)
    arguments.expect_shape("scaled_sum", "b", b, x.shape[-1])
    arguments.expect_shape("scaled_sum", "a", a, x.shape[-1])
    kind = arguments.accumulation_type(x, z, b, a)
    run = load("scaled_sum", implementation, x.device.type, x.dtype)
    with arguments.full_precision(x.device):
        found: Tensor = run(x, z.to(x.dtype), b.to(kind), None if a is None else a.to(kind))
        return found
