"""Depthwise causal convolution over time, as before the SSD of Mamba-2.

    out_t = activation(bias + sum_j weight[:, j] x_{t-(W-1)+j})          tap W-1 is the present token

B batch  T time  C channels  W window (taps)
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load, takes_narrow


def causal_conv(
    x: Float[Tensor, "B T C"],
    weight: Float[Tensor, "C W"],
    bias: Float[Tensor, "C"] | None = None,
    state: Float[Tensor, "B C W1"] | None = None,
    *,
    reset: Bool[Tensor, "B T"] | None = None,
    fresh: Float[Tensor, "C W1"] | None = None,
    activation: Literal["silu"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B C W1"]]:
    """Convolve a sequence; returns the outputs and the state, which is the last W1 = W - 1 inputs, oldest first.

    state: what enters (default: `fresh`, else zeros). reset: token t begins a new document; the inputs that its window
    and the following ones still see from before become `fresh` (default: zeros).
    The outputs have the type of `x`; the state is float32 (float64 if any input is).
    Raises ValueError or TypeError on shapes and types that do not fit, on an unknown activation or implementation.
    """
    batch, time, channels = x.shape
    window = weight.shape[-1]
    arguments.expect_reset("causal_conv", reset, batch, time)
    arguments.expect_shape("causal_conv", "weight", weight, channels, max(window, 1))
    arguments.expect_shape("causal_conv", "bias", bias, channels)
    arguments.expect_shape("causal_conv", "state", state, batch, channels, window - 1)
    arguments.expect_shape("causal_conv", "fresh", fresh, channels, window - 1)
    if activation not in (None, "silu"):
        raise ValueError(f"causal_conv: there is no activation named {activation!r}; available: None, 'silu'")
    kind = arguments.accumulation_type(x, weight, bias, state, fresh)
    run = load("causal_conv", implementation, x.device.type, kind)
    narrow = takes_narrow("causal_conv", implementation, x.device.type, kind)
    with arguments.full_precision(x.device):
        fresh = None if fresh is None else fresh.to(kind)
        weight = weight.to(kind)
        out, last = run(
            arguments.widened(x, kind, narrow),
            weight,
            None if bias is None else bias.to(kind),
            arguments.entering_state(state, fresh, weight, batch, channels, window - 1),
            arguments.effective_reset(reset),
            fresh,
            activation,
        )
        return out.to(x.dtype), last
