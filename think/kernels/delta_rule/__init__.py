"""Gated delta rule: a matrix state per head that replaces what it holds under a key.

    S' = exp(log_decay_t) S_{t-1}     S_t = S' + beta_t k_t (v_t - S'^T k_t)^T     out_t = S_t^T q_t

The state is read at k_t, and the share beta_t of the difference to v_t is written there. The output reads the state
after the write. There is no scaling, and keys are not normalised here: with |k_t| = 1 the step keeps the state bounded
for beta in [0, 2]; beyond 1 it reflects (negative eigenvalues). Source: Yang et al. 2024, "Parallelizing Linear
Transformers with the Delta Rule over Sequence Length"; with decay, Yang, Kautz and Hatamizadeh 2024, "Gated Delta
Networks". They write the transpose of this state.

B batch  T time  H heads  K key width  V value width
"""

from jaxtyping import Bool, Float
from torch import Tensor

from think.kernels import _arguments as arguments
from think.kernels.choose import load


def delta_rule(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    beta: Float[Tensor, "B T H"],
    log_decay: Float[Tensor, "B T H"] | None = None,
    state: Float[Tensor, "B H K V"] | None = None,
    *,
    reset: Bool[Tensor, "B T"] | None = None,
    fresh: Float[Tensor, "H K V"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T H V"], Float[Tensor, "B H K V"]]:
    """Run the recurrence over a sequence; returns the outputs and the state after the last token.

    beta: share that is replaced, 0 writes nothing. log_decay: at most 0, default no decay; -50 and below are fine.
    state: what enters (default: `fresh`, else zeros).
    reset: token t begins a new document, and the state before it becomes `fresh` (default: zeros); the decay of token t
    then acts on `fresh`. The outputs have the type of `v`; the state is float32 (float64 if any input is).
    Raises ValueError or TypeError on shapes and types that do not fit, and on an unknown implementation.
    """
    batch, time, heads, key = q.shape
    value = v.shape[-1]
    arguments.expect_reset("delta_rule", reset, batch, time)
    arguments.expect_shape("delta_rule", "k", k, batch, time, heads, key)
    arguments.expect_shape("delta_rule", "v", v, batch, time, heads, value)
    arguments.expect_shape("delta_rule", "beta", beta, batch, time, heads)
    arguments.expect_shape("delta_rule", "log_decay", log_decay, batch, time, heads)
    arguments.expect_shape("delta_rule", "state", state, batch, heads, key, value)
    arguments.expect_shape("delta_rule", "fresh", fresh, heads, key, value)
    kind = arguments.accumulation_type(q, k, v, beta, log_decay, state, fresh)
    run = load("delta_rule", implementation, q.device.type, kind)
    with arguments.full_precision(q.device):
        fresh = None if fresh is None else fresh.to(kind)
        narrow = arguments.input_type(run, kind, q, k, v)
        wide_beta = beta.to(kind)
        out, last = run(
            q.to(narrow),
            k.to(narrow),
            v.to(narrow),
            wide_beta,
            wide_beta.new_zeros(beta.shape) if log_decay is None else log_decay.to(kind),
            arguments.entering_state(state, fresh, wide_beta, batch, heads, key, value),
            arguments.effective_reset(reset),
            fresh,
        )
        return out.to(v.dtype), last
