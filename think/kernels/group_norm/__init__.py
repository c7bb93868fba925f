"""Each row normed group by group to mean 0 and variance 1, with gain and offset for each channel, then gated.

    n = (x - mean x) / sqrt(var x + epsilon)          y = (n weight + bias) silu(gate)          over a group of channels

Sources: Wu & He 2018, "Group Normalization"; with one group for each head and this gate the output of the Finch time
mix (Peng et al. 2024, "Eagle and Finch").

D channels
"""

from jaxtyping import Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def group_norm(
    x: Float[Tensor, "*batch D"],
    weight: Float[Tensor, "D"],
    bias: Float[Tensor, "D"],
    gate: Float[Tensor, "*batch D"],
    *,
    groups: int,
    epsilon: float,
    implementation: str = "auto",
) -> Float[Tensor, "*batch D"]:
    """The rows of x, normed in `groups` groups of equal width and gated; of the type of x.

    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: {groups} groups do not divide {channels} channels")
    arguments.expect_shape("group_norm", "weight", weight, channels)
    arguments.expect_shape("group_norm", "bias", bias, channels)
    arguments.expect_shape("group_norm", "gate", gate, *x.shape)
    kind = arguments.accumulation_type(x, weight, bias, gate)
    run = load("group_norm", implementation, x.device.type, x.dtype)
    with arguments.full_precision(x.device):
        found: Tensor = run(x, weight.to(kind), bias.to(kind), gate.to(x.dtype), groups, epsilon)
        return found
