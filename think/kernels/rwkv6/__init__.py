"""RWKV-6 (Finch) recurrence with a matrix state per head and a decay per key channel.

    out_t = r_t . (S_{t-1} + diag(bonus) k_t v_t^T)          S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T

The output reads the state before this token's decay and write; the token itself counts through `bonus` only. There is
no scaling. Source: Peng et al. 2024, "Eagle and Finch", the WKV operator of Finch.

B batch  T time  H heads  K key width  V value width
"""

from jaxtyping import Bool, Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load, takes_narrow


def rwkv6(
    r: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    log_decay: Float[Tensor, "B T H K"],
    bonus: Float[Tensor, "H K"],
    state: Float[Tensor, "B H K V"] | None = None,
    *,
    reset: Bool[Tensor, "B T"] | None = None,
    fresh: Float[Tensor, "H K V"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T H V"], Float[Tensor, "B H K V"]]:
    """Run the recurrence over a sequence; returns the outputs and the state after the last token.

    log_decay: at most 0; -50 and below are fine. state: what enters (default: `fresh`, else zeros).
    reset: token t begins a new document, and the state before it becomes `fresh` (default: zeros); the decay of token t
    then acts on `fresh`. The outputs have the type of `v`; the state is float32 (float64 if any input is).
    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    batch, time, heads, key = r.shape
    value = v.shape[-1]
    arguments.expect_reset("rwkv6", reset, batch, time)
    arguments.expect_shape("rwkv6", "k", k, batch, time, heads, key)
    arguments.expect_shape("rwkv6", "v", v, batch, time, heads, value)
    arguments.expect_shape("rwkv6", "log_decay", log_decay, batch, time, heads, key)
    arguments.expect_shape("rwkv6", "bonus", bonus, heads, key)
    arguments.expect_shape("rwkv6", "state", state, batch, heads, key, value)
    arguments.expect_shape("rwkv6", "fresh", fresh, heads, key, value)
    kind = arguments.accumulation_type(r, k, v, log_decay, bonus, state, fresh)
    run = load("rwkv6", implementation, r.device.type, kind)
    narrow = takes_narrow("rwkv6", implementation, r.device.type, kind)
    with arguments.full_precision(r.device):
        fresh = None if fresh is None else fresh.to(kind)
        bonus = bonus.to(kind)
        out, last = run(
            *(arguments.widened(tensor, kind, narrow) for tensor in (r, k, v, log_decay)),
            bonus,
            arguments.entering_state(state, fresh, bonus, batch, heads, key, value),
            arguments.effective_reset(reset),
            fresh,
        )
        return out.to(v.dtype), last
