"""Matrices in the order in which one token reads them: blocks of 64 outputs, all inputs of a block one after another.

Output n of y = W x is a sum over inputs in ascending order, in one lane of a vector register: no sum across lanes, no
order that depends on the batch or the threads. The last block is as narrow as 16, 32, 48 or 64 outputs, the missing
ones zeros.

N outputs  K inputs
"""

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 64
"Outputs in a block: four vectors of 16, as many sums at once as it takes to hide the latency of one."
LANES = 16
"Floats in a vector; every offset and width in memory is a multiple of it."


def padded(count: int) -> int:
    """The next multiple of LANES."""
    return -(-count // LANES) * LANES


def size(outputs: int, inputs: int) -> int:
    """Floats of a packed matrix."""
    return padded(outputs) * inputs


def pack(matrix: Float[Tensor, "N K"], into: Float[Tensor, "size"]) -> None:
    """Write a matrix in its packed order."""
    outputs, inputs = matrix.shape
    whole = outputs - outputs % BLOCK
    blocks = matrix[:whole].unflatten(0, (-1, BLOCK)) if whole else matrix.new_empty(0, BLOCK, inputs)
    into[: whole * inputs].view(-1, inputs, BLOCK).copy_(blocks.transpose(1, 2))
    rest = into[whole * inputs :].view(inputs, -1)
    rest.zero_()
    rest[:, : outputs - whole].copy_(matrix[whole:].T)


def unpack(packed: Float[Tensor, "size"], outputs: int, inputs: int) -> Float[Tensor, "N K"]:
    """The inverse of `pack`."""
    whole = outputs - outputs % BLOCK
    blocks = packed[: whole * inputs].view(-1, inputs, BLOCK).transpose(1, 2).reshape(whole, inputs)
    rest = packed[whole * inputs :].view(inputs, -1)[:, : outputs - whole].T
    return torch.cat([blocks, rest])
