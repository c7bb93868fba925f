"""Small parts shared by the mixers: norms, token shift, low-rank maps.

B batch  T time  D width  R rank
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from think.core.models.roles import Role
from think.kernels.decode import Operand, Program

EPSILON = 1e-6
"Added to a mean square before its root: small against activations of order 1, large against float32 rounding."


class RMSNorm(nn.Module):
    """x / root-mean-square(x), with a gain for each channel.    [Zhang & Sennrich 2019]"""

    ROLES: ClassVar[dict[str, Role]] = {"weight": "vector"}

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPSILON)

    def lower(self, program: Program, x: Operand, out: Operand | None = None) -> Operand:
        """The same as an operation of a decoding program."""
        return program.apply("norm", x, program.vector(self.weight), out=out, width=x.width, constant=EPSILON)


def linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    """A map without bias whose outputs have `scale` times the standard deviation of its inputs."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(inputs))
    return layer


def shift(
    x: Float[Tensor, "B T D"], last: Float[Tensor, "B D"], reset: Bool[Tensor, "B T"] | None
) -> Float[Tensor, "B T D"]:
    """Each token's predecessor: `last` before the first; zeros before the first token of a document."""
    before = torch.cat([last.to(x.dtype).unsqueeze(1), x[:, :-1]], dim=1)
    return before if reset is None else before.masked_fill(reset.unsqueeze(-1), 0.0)


class LowRank(nn.Module):
    """x -> tanh(x A) B, nothing at first because B starts at zero.    [Peng et al. 2024]"""

    ROLES: ClassVar[dict[str, Role]] = {"down": "decay", "up": "decay"}

    def __init__(self, inputs: int, rank: int, outputs: int):
        super().__init__()
        self.down = nn.Parameter(torch.empty(inputs, rank).normal_(std=1 / math.sqrt(inputs)))
        self.up = nn.Parameter(torch.zeros(rank, outputs))

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T E"]:
        return torch.tanh(x @ self.down) @ self.up

    def lower(self, program: Program, x: Operand) -> Operand:
        """The same as operations of a decoding program."""
        low = program.linear(x, self.down.T)
        return program.linear(program.apply("tanh", low, out=low), self.up.T)
