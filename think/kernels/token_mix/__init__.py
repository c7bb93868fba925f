"""Token shift: each token mixed with the one before it, in several shares at once.

    out_st = x_t + share_st (x_{t-1} - x_t)

The first token of a call sees `last`; a token that begins a document sees zeros. Source: Peng et al. 2024, "Eagle and
Finch", the token shift, with fixed shares or with shares that depend on the data.

S streams   B batch   T time   D channels
"""

from jaxtyping import Bool, Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def token_mix(
    x: Float[Tensor, "B T D"],
    last: Float[Tensor, "B D"],
    share: Float[Tensor, "S D"] | Float[Tensor, "S B T D"],
    *,
    reset: Bool[Tensor, "B T"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T D"], ...]:
    """The S streams, of the type of x.

    last: the token before the first one. share: for each channel, or for each token and channel.
    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    batch, time, channels = x.shape
    arguments.expect_reset("token_mix", reset, batch, time)
    arguments.expect_shape("token_mix", "last", last, batch, channels)
    expected = (share.shape[0], channels) if share.dim() == 2 else (share.shape[0], batch, time, channels)
    arguments.expect_shape("token_mix", "share", share, *expected)
    kind = arguments.accumulation_type(x, last, share)
    run = load("token_mix", implementation, x.device.type, x.dtype)
    with arguments.full_precision(x.device):
        found: tuple[Tensor, ...] = run(x, last.to(kind), share.to(kind if share.dim() == 2 else x.dtype), reset)
        return found
