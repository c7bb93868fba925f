"""Token shift and mixing, the plain definition.

S streams   B batch   T time   D channels
"""

import torch
from torch import Tensor


def run(x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None) -> tuple[Tensor, ...]:
    """Arguments as `think.kernels.token_mix.token_mix`; the shares in the type of x, or for each
    channel in that of accumulation, as `last` is."""
    before = torch.cat([last.to(x.dtype).unsqueeze(1), x[:, :-1]], dim=1)
    if reset is not None:
        before = before.masked_fill(reset.unsqueeze(-1), 0.0)
    if share.dim() == 2:
        share = share.to(x.dtype)[:, None, None]
    return torch.addcmul(x, before - x, share).unbind()
