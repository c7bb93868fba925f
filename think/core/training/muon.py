"""torch.optim.Muon with its Newton-Schulz steps in float32 and all matrices of one shape at once.

    X <- a X + (b G + c G G) X,   G = X X^T,   X_0 = U / |U|_F        [Jordan et al. 2024, "Muon", Newton-Schulz step]

torch's own step runs these products in bfloat16, one matrix after the other. A processor without bfloat16 units spends
twenty times longer on them than in float32 (docs/log.md), more than on the model itself. Everything else - options,
momentum, weight decay, the size rule of the learning rate, the state - is torch's.

N matrices of one shape   R rows   C columns, R <= C
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from think.core.training.adamw import Eager
from think.core.training.shards import divided


def orthogonalise(
    updates: Float[Tensor, "N R C"], coefficients: tuple[float, float, float], iterations: int, epsilon: float
) -> Float[Tensor, "N R C"]:
    """Matrices of the same singular vectors, with singular values near 1 (0.68 to 1.13 for the usual coefficients)."""
    tall = updates.shape[1] > updates.shape[2]
    x = updates.mT if tall else updates
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=epsilon)
    a, b, c = coefficients
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Eager, torch.optim.Muon):
    """Muon for float32 matrices; every option means what torch says that it means."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient; a closure is not supported."""
        if closure is not None:
            raise ValueError("this Muon takes no closure")
        for group in self.param_groups:
            self._step_group(group)

    def _step_group(self, group: dict[str, Any]) -> None:
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        momenta: list[Tensor] = []
        self._init_group(group, parameters, gradients, momenta)
        of_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter, gradient, momentum in zip(parameters, gradients, momenta, strict=True):
            momentum.lerp_(gradient, 1 - group["momentum"])
            update = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
            of_shape[parameter.shape].append((parameter, update))
        for shape, members in of_shape.items():
            together = torch.stack([_whole(update) for _, update in members]).float()
            moves = orthogonalise(together, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rate = group["lr"] * size_factor(group["adjust_lr_fn"], shape)
            for (parameter, _), move in zip(members, moves, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(_cut_as(parameter, move), alpha=-rate)


def _whole(update: Tensor) -> Tensor:
    """A matrix whose rows lie in several processes, put together: its singular vectors are those of all of it."""
    return update.full_tensor() if divided(update) else update


def _cut_as(parameter: Tensor, move: Tensor) -> Tensor:
    """This process's share of a move that all of them have computed."""
    if divided(parameter):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(move, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return move


def size_factor(rule: str | None, shape: torch.Size) -> float:
    """How the size of a matrix scales its rate: sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns))."""
    rows, columns = shape
    if rule == "match_rms_adamw":
        return 0.2 * float(max(rows, columns)) ** 0.5
    return max(1.0, rows / columns) ** 0.5
