"""What a position is worth: one head a layer, on that layer's residual stream, each a probability of success.

    z_l = head_l(x_l / rms(x_l))      p_l = sigmoid(a_l z_l + b_l)      value = mean_l p_l - caution std_l p_l

Trained by log loss on verified outcomes; a_l >= 0 and b_l (Platt's scaling) are fitted afterwards, on positions that no
head was trained on. The heads read the backbone, or a copy of it that is trained with them: features of a backbone that
only saw right answers need not tell a wrong one, and the policy stays as it is either way.

L layers   D width   N positions
"""

from copy import deepcopy
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from think.core.models.layers import EPSILON
from think.core.models.thinking import Thinking
from think.core.statistics import platt
from think.presets.base import Settings, knob


class LinearHead(Settings):
    """A head that is one linear map."""

    kind: Literal["linear"] = "linear"


class MlpHead(Settings):
    """A head with one hidden layer."""

    kind: Literal["mlp"] = "mlp"
    inner: PositiveInt = knob(64, acts_on="graph")
    "hidden units of a head"


class CriticSettings(Settings):
    """A critic of many heads."""

    head: Annotated[LinearHead | MlpHead, Field(discriminator="kind")] = MlpHead()
    "what stands on each layer"
    backbone: Literal["frozen", "copy"] = knob("copy", acts_on="graph")
    "what the heads read: the backbone as it is, or a copy of it that is trained with them"
    caution: NonNegativeFloat = knob(0.0, acts_on="evaluation")
    "standard deviations of the heads that are taken off their mean"


class Critic(nn.Module):
    """Heads, their calibration, and the backbone that they read where it is one of their own."""

    def __init__(self, settings: CriticSettings, model: Thinking):
        """model: the backbone of the policy; it is copied where the settings say so, and not held otherwise."""
        super().__init__()
        width, layers = model.settings.width, model.settings.layers
        self.settings, self.layers = settings, layers
        self.backbone: Thinking | None = None
        if settings.backbone == "copy":
            self.backbone = deepcopy(model).requires_grad_(True)
            self.backbone.norm.requires_grad_(False)  # it comes after the last residual, so nothing reads it
            if not model.settings.tied:
                self.backbone.head.requires_grad_(False)
        self.heads = nn.ModuleList(_head(settings, width) for _ in range(layers))
        self.register_buffer("scale", torch.ones(layers))
        self.register_buffer("bias", torch.zeros(layers))
        self.scale: Tensor
        self.bias: Tensor

    def forward(self, residuals: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N L"]:
        """Scores before calibration, what the log loss is taken of."""
        normed = functional.rms_norm(residuals, residuals.shape[-1:], eps=EPSILON)
        scores = [head(normed[..., layer, :]) for layer, head in enumerate(self.heads)]
        return torch.cat(scores, dim=-1)

    def values(self, residuals: Float[Tensor, "*N L D"]) -> Float[Tensor, "*N L"]:
        """The probability of success that each head gives."""
        return (self(residuals) * self.scale + self.bias).sigmoid()

    def worth(self, values: Float[Tensor, "*N L"]) -> Float[Tensor, "*N"]:
        """The heads as one number; above 0 only where they agree well enough for the caution."""
        mean = values.mean(-1)
        if not self.settings.caution or values.shape[-1] == 1:
            return mean
        return mean - self.settings.caution * values.std(-1)

    def calibrate(self, scores: Float[Tensor, "N L"], outcomes: Bool[Tensor, " N"]) -> None:
        """Fit scale and bias of each head to positions that none was trained on; scores as `forward` gives them."""
        for layer in range(self.layers):
            fitted = platt(scores[:, layer].double().cpu().numpy(), outcomes.cpu().numpy())
            self.scale[layer], self.bias[layer] = fitted.scale, fitted.bias

    def loss(self, scores: Float[Tensor, "*N L"], targets: Float[Tensor, "*N"]) -> Float[Tensor, ""]:
        """Mean log loss over heads and the positions whose target is known, that is, not nan. Targets are 0 to 1."""
        known = targets.isfinite()
        wanted = targets[known].unsqueeze(-1).expand(-1, self.layers)
        return functional.binary_cross_entropy_with_logits(scores[known].float(), wanted.float())

    def parameters_of_heads(self) -> int:
        """Weights that one evaluation multiplies by, those of the backbone left out."""
        return sum(parameter.numel() for parameter in self.heads.parameters())


def _head(settings: CriticSettings, width: int) -> nn.Module:
    if isinstance(settings.head, LinearHead):
        return nn.Linear(width, 1)
    return nn.Sequential(nn.Linear(width, settings.head.inner), nn.SiLU(), nn.Linear(settings.head.inner, 1))
