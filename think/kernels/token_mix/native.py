"""Token shift and mixing in C: see `../native/token_mix.c`. float32 and bfloat16 on a processor.

S streams   B batch   T time   D channels
"""

import torch
from torch import Tensor

from think.kernels.native import library, operators
from think.kernels.native.function import function
from think.kernels.token_mix.reference import run as plain

UNIT = "token_mix"

TOKENS_OF_A_TASK = 32
"As token_mix.c has them: BLOCK."


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why this cannot run on a device with numbers of a type; None when it can."""
    return library.lacks(UNIT, device, kind)


def _forward(x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None) -> tuple[Tensor, ...]:
    out: Tensor = torch.ops.think.token_mix(x, last, share, reset)
    return out.unbind()  # here rather than outside, so that gradients need not be put side by side


def _backward(x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None, d_out: Tensor) -> tuple[Tensor | None, ...]:
    d_x, d_last, d_share = torch.ops.think.token_mix_backward(x, last, share, reset, d_out)
    return d_x, d_last, d_share, None


def _run(x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None) -> Tensor:
    out = _shape(x, last, share, reset)
    given = operators.contiguous(x, last, share, reset)
    library.call("token_mix_forward", *given, out, *out.shape, share.dim() == 2, operators.kind(x))
    return out


def _shape(x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None) -> Tensor:
    return x.new_empty((share.shape[0], *x.shape))


def _run_backward(
    x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None, d_out: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    found = _backward_shapes(x, last, share, reset, d_out)
    batch, time, _ = x.shape
    fixed = share.dim() == 2
    parts = last.new_empty(batch * -(-time // TOKENS_OF_A_TASK), *share.shape) if fixed else None
    d_out = [each.to(x.dtype).contiguous() for each in d_out]
    addresses = torch.tensor([each.data_ptr() for each in d_out])
    given = operators.contiguous(x, last, share, reset)
    library.call("token_mix_backward", *given, addresses, *found, parts, len(d_out), *x.shape, fixed, operators.kind(x))
    return found


def _backward_shapes(
    x: Tensor, last: Tensor, share: Tensor, reset: Tensor | None, d_out: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), last.new_empty(last.shape), share.new_empty(share.shape)


_GIVEN = "Tensor x, Tensor last, Tensor share, Tensor? reset"
operators.register(f"token_mix({_GIVEN}) -> Tensor", _run, _shape)
operators.register(
    f"token_mix_backward({_GIVEN}, Tensor[] d_out) -> (Tensor, Tensor, Tensor)", _run_backward, _backward_shapes
)
run = function(plain, _forward, _backward)
