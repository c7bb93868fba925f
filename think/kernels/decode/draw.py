"""One token by temperature and top-p, from scores and one number in [0, 1).

Shares are softmax(scores / temperature). Of the ids by falling share, equal ones by rising id, those are kept before
which the shares sum to less than top_p. Among the kept, in the order of ids, the token is the first at which the
running sum exceeds `chance` times the whole.

V vocabulary
"""

import ctypes

import torch
from jaxtyping import Float
from torch import Tensor

from think.kernels.native import library

_ADDRESS, _DOUBLE = ctypes.c_void_p, ctypes.c_double
_ARGUMENTS = (_ADDRESS, _ADDRESS, ctypes.c_int64, _DOUBLE, _DOUBLE, _DOUBLE, _ADDRESS)


def lacking() -> str | None:
    """Why `native` cannot run here; None when it can."""
    return library.lacking("draw")


def plain(
    scores: Float[Tensor, "V"], bias: Float[Tensor, "V"], temperature: float, top_p: float, chance: float
) -> int | None:
    """The rule in float64; None when a score is not finite.

    bias: 0, or -inf for ids that are never taken. temperature: above 0.
    """
    if not bool(torch.isfinite(scores).all()):
        return None
    wide = scores.double() + bias
    shares = ((wide - wide.max()) / temperature).softmax(dim=0)
    if top_p < 1:
        ordered, ids = shares.sort(descending=True, stable=True)
        before = ordered.cumsum(dim=0) - ordered
        # The likeliest token always stays: nothing comes before it.
        shares = torch.zeros_like(shares).scatter(0, ids, ordered.masked_fill(before >= top_p, 0.0))
    reached = shares.cumsum(dim=0)
    found = int((reached <= chance * reached[-1]).sum())
    return min(found, int(shares.nonzero().max()))


def native(
    scores: Float[Tensor, "V"], bias: Float[Tensor, "V"], temperature: float, top_p: float, chance: float
) -> int | None:
    """The rule with float32 shares, for scores in main memory; arguments as `plain`."""
    if scores.dtype != torch.float32 or scores.device.type != "cpu" or not scores.is_contiguous():
        raise ValueError(f"scores are {scores.dtype} on {scores.device}, expected contiguous float32 in main memory")
    token = ctypes.c_int64()
    function = library.function("draw")
    function.argtypes = _ARGUMENTS
    if function(scores.data_ptr(), bias.data_ptr(), len(scores), temperature, top_p, chance, ctypes.addressof(token)):
        raise MemoryError("native drawing: no memory for the shares")
    return None if token.value < 0 else token.value
