"""Decays between -1 and 1: what lets a linear recurrence count modulo two.

    a = 2 r - 1        r in (0, 1): the decay that the recurrence would have otherwise

A recurrence whose decays are all positive can only forget; one that may be negative can flip its state, and so follow
parity at any length.    [Grazzi et al. 2025, "Unlocking state-tracking in linear RNNs through negative eigenvalues"]

Kernels know positive decays alone, and need not know others. Ours: with P_t the product of all signs up to t since the
state last began anew, and S_t = P_t U_t,

    S_t = a_t S_{t-1} + w_t     is the same as     U_t = |a_t| U_{t-1} + P_t w_t,    read as P_t (U_t read)

so what is written and what is read is multiplied by signs, and the state that leaves by the last of them. A state that
enters is S itself, with no sign before it; at a reset it becomes a start state, and the product begins anew.

B batch  T time  ... heads or channels
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EDGE = 2.0**-20
"r keeps this distance from 0 and 1: below it float32 would give |a| = 1, which never forgets."

LEAST = 1e-6
"|a| is at least this, for its logarithm's sake; the state is gone either way."


@dataclass(frozen=True)
class Signed:
    """Decays in (-1, 1), taken apart.

    log_decay  [B, T, ...]  log |a|, below zero
    sign       [B, T, ...]  product of the signs since the state last began anew, this token's included: 1 or -1
    """

    log_decay: Tensor
    sign: Tensor

    @classmethod
    def of(cls, log_retention: Float[Tensor, "B T ..."], reset: Bool[Tensor, "B T"] | None) -> "Signed":
        """From log r, below zero."""
        decay = 2 * log_retention.exp().clamp(EDGE, 1 - EDGE) - 1
        return cls(decay.abs().clamp_min(LEAST).log(), running_sign(decay < 0, reset).to(decay.dtype))

    def before(self, reset: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T ..."]:
        """The product of signs before each token: what the state that the token meets has to be multiplied by."""
        shifted = torch.cat([torch.ones_like(self.sign[:, :1]), self.sign[:, :-1]], dim=1)
        if reset is None:
            return shifted
        begins = reset.view(*reset.shape, *[1] * (shifted.ndim - 2))
        return torch.where(begins, torch.ones_like(shifted), shifted)


def running_sign(negative: Bool[Tensor, "B T ..."], reset: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T ..."]:
    """-1 where the number of `negative` since the last reset, or the start, is odd; else 1."""
    counted = negative.long().cumsum(1)
    if reset is not None:
        begins = reset.view(*reset.shape, *[1] * (negative.ndim - 2))
        counted = counted - torch.where(begins, counted - negative.long(), 0).cummax(1).values
    return 1.0 - 2.0 * (counted % 2)
