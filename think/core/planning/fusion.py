"""Hierarchical policy fusion: one policy from all layers of a backbone, each as much as it has been found worth.

    h = sum_l w_l r_l,    w = softmax(theta)          logits = head(norm(h))

r_l is the residual stream after layer l; norm and head are the backbone's own, so the weights are all that learns. They
get their gradient from the policy that comes out. Equal weights at the start.

L layers   D width of the residual stream   V vocabulary
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from think.core.models.roles import Role
from think.core.models.thinking import Thinking


class Fusion(nn.Module):
    """The learned weights of the layers."""

    ROLES: ClassVar[dict[str, Role]] = {"theta": "vector"}

    def __init__(self, layers: int):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(layers))

    @property
    def weights(self) -> Float[Tensor, " L"]:
        """Share of each layer; above 0, and 1 together."""
        return self.theta.softmax(0)

    @property
    def entropy(self) -> Float[Tensor, ""]:
        """Of the weights, in nats: 0 where one layer decides, log L where all have the same say."""
        weights = self.weights
        return -torch.special.xlogy(weights, weights).sum()

    def forward(self, residuals: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N D"]:
        """The layers as one residual stream."""
        return torch.einsum("...ld,l->...d", residuals, self.weights)

    def logits(self, model: Thinking, residuals: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N V"]:
        """Scores of every token id, through the norm and the head of the backbone whose residuals these are."""
        return model.logits(model.norm(self(residuals)))
