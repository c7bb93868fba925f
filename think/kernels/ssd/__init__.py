"""Mamba-2 state space duality: a matrix state per head with one scalar decay per head and token.

    S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T          y_t = S_t C_t + D x_t

The output reads the state after this token's write; the skip D acts on the raw x. Source: Dao and Gu 2024,
"Transformers are SSMs", the SSD layer.

B batch  T time  H heads  P head width  N state width  G groups (head h reads B and C of group h // (H / G))
"""

from jaxtyping import Bool, Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def ssd(
    x: Float[Tensor, "B T H P"],
    dt: Float[Tensor, "B T H"],
    A: Float[Tensor, "H"],
    B: Float[Tensor, "B T G N"],
    C: Float[Tensor, "B T G N"],
    D: Float[Tensor, "H"],
    state: Float[Tensor, "B H P N"] | None = None,
    *,
    reset: Bool[Tensor, "B T"] | None = None,
    fresh: Float[Tensor, "H P N"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T H P"], Float[Tensor, "B H P N"]]:
    """Run the recurrence over a sequence; returns the outputs and the state after the last token.

    dt: step, above 0 (after softplus). A: rate, below 0. state: what enters (default: `fresh`, else zeros).
    reset: token t begins a new document, and the state before it becomes `fresh` (default: zeros); the decay of token t
    then acts on `fresh`. The outputs have the type of `x`; the state is float32 (float64 if any input is).
    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    batch, time, heads, width = x.shape
    groups, size = B.shape[-2:]
    arguments.expect_reset("ssd", reset, batch, time)
    arguments.expect_shape("ssd", "dt", dt, batch, time, heads)
    arguments.expect_shape("ssd", "A", A, heads)
    arguments.expect_shape("ssd", "B", B, batch, time, groups, size)
    arguments.expect_shape("ssd", "C", C, batch, time, groups, size)
    arguments.expect_shape("ssd", "D", D, heads)
    arguments.expect_shape("ssd", "state", state, batch, heads, width, size)
    arguments.expect_shape("ssd", "fresh", fresh, heads, width, size)
    if groups < 1 or heads % groups:
        raise ValueError(f"ssd: {heads} heads can't be shared out to {groups} groups")
    kind = arguments.accumulation_type(x, dt, A, B, C, D, state, fresh)
    run = load("ssd", implementation, x.device.type, kind)
    with arguments.full_precision(x.device):
        fresh = None if fresh is None else fresh.to(kind)
        narrow = arguments.input_type(run, kind, x, B, C)
        wide_dt = dt.to(kind)
        out, last = run(
            x.to(narrow),
            wide_dt,
            A.to(kind),
            B.to(narrow),
            C.to(narrow),
            D.to(kind),
            arguments.entering_state(state, fresh, wide_dt, batch, heads, width, size),
            arguments.effective_reset(reset),
            fresh,
        )
        return out.to(x.dtype), last
