"""Small parts shared by the mixers: norms, low-rank maps.

B batch  T time  D width  R rank
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from think.core.models.roles import Role
from think.kernels.decode import Operand, Program
from think.kernels.rms_norm import rms_norm

EPSILON = 1e-6
"Added to a mean square before its root: small against activations of order 1, large against float32 rounding."


class RMSNorm(nn.Module):
    """x / root-mean-square(x), with a gain for each channel.    [Zhang & Sennrich 2019]"""

    ROLES: ClassVar[dict[str, Role]] = {"weight": "vector"}

    def __init__(self, width: int):
        super().__init__()
        self.implementation = "auto"
        self.weight = nn.Parameter(torch.ones(width))

    def forward(
        self, x: Float[Tensor, "*batch D"], gate: Float[Tensor, "*batch D"] | None = None
    ) -> Float[Tensor, "*batch D"]:
        """gate: x silu(gate) is normed in place of x."""
        return rms_norm(x, self.weight, gate, epsilon=EPSILON, implementation=self.implementation)

    def lower(self, program: Program, x: Operand, out: Operand | None = None) -> Operand:
        """The same as an operation of a decoding program."""
        return program.apply("norm", x, program.vector(self.weight), out=out, width=x.width, constant=EPSILON)


def linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    """A map without bias whose outputs have `scale` times the standard deviation of its inputs."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(inputs))
    return layer


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
