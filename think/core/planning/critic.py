"""What a position is worth: one head a layer, on that layer's residual stream, each a probability of success.

    z_l = head_l(x_l / rms(x_l))      p_l = sigmoid(a_l z_l + b_l)      value = mean_l p_l - caution std_l p_l

Trained by log loss on verified outcomes; a_l >= 0 and b_l (Platt's scaling) are fitted afterwards, on positions that no
head was trained on. The heads read the backbone, or a copy of it that is trained with them: features of a backbone that
only saw right answers need not tell a wrong one, and the policy stays as it is either way.

Last it is examined on positions that nothing was fitted to: `trust` says how far plans may be injected on its word. A
critic that nobody has examined is trusted in nothing, and `doubt` says so.

L layers   D width   N positions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from think.core.errors import BadSettings
from think.core.models.layers import EPSILON
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking, build
from think.core.planning.confidence import LEAST, Trust
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


@dataclass(frozen=True)
class Judges:
    """How many opinions become one number: mean - caution std of the heads that are asked, as in `CriticSettings`.

    heads: their layers, from 0; None: all
    """

    caution: float = 0.0
    heads: tuple[int, ...] | None = None

    def worth(self, values: Float[Tensor, "*N L"]) -> Float[Tensor, "*N"]:
        """The heads as one number; above 0 only where they agree well enough for the caution."""
        asked = values if self.heads is None else values[..., list(self.heads)]
        mean = asked.mean(-1)
        if not self.caution or asked.shape[-1] == 1:
            return mean
        return mean - self.caution * asked.std(-1)


class Critic(nn.Module):
    """Heads, their calibration, what they were examined to know, and the backbone that they read if it is their own.

    base, skill [L]  as in `Trust`
    examined [2]     positions that came out badly and well, of the examination; none: there was none
    """

    CAME_LATER: ClassVar[frozenset[str]] = frozenset({"base", "skill", "examined"})
    "Not in checkpoints from before critics were examined; such a critic is one that nobody has examined."

    def __init__(self, settings: CriticSettings, model: ModelSettings):
        """model: sizes of the policy's backbone. A backbone of its own starts at random until `copy` is called."""
        super().__init__()
        self.settings, self.layers = settings, model.layers
        self.backbone: Thinking | None = None
        if settings.backbone == "copy":
            self.backbone = build(model)
            self.backbone.norm = self.backbone.head = nn.Identity()  # type: ignore[assignment]  # after the residuals
        self.heads = nn.ModuleList(_head(settings, model.width) for _ in range(model.layers))
        self.register_buffer("scale", torch.ones(model.layers))
        self.register_buffer("bias", torch.zeros(model.layers))
        self.register_buffer("base", torch.zeros(model.layers))
        self.register_buffer("skill", torch.zeros(model.layers))
        self.register_buffer("examined", torch.zeros(2, dtype=torch.int64))
        self.scale: Tensor
        self.bias: Tensor
        self.base: Tensor
        self.skill: Tensor
        self.examined: Tensor

    def copy(self, model: Thinking) -> None:
        """Start a backbone of its own from the weights of the policy's; nothing where it has none."""
        if self.backbone is not None:
            wanted = self.backbone.state_dict()
            self.backbone.load_state_dict({name: value for name, value in model.state_dict().items() if name in wanted})

    def reader(self, model: Thinking) -> Thinking:
        """Whose residuals the heads read: its own backbone, or the policy's."""
        return model if self.backbone is None else self.backbone

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
        return self.judges.worth(values)

    @property
    def judges(self) -> Judges:
        """All heads, as cautious as the settings say."""
        return Judges(self.settings.caution)

    def asked(self, heads: Sequence[int] | None, caution: float | None) -> Judges:
        """Some of the heads, or another caution; None leaves either as it is. Raises BadSettings for no such head."""
        for layer in heads or ():
            if layer not in range(self.layers):
                raise BadSettings(
                    f"the critic has no head {layer}",
                    where="--heads",
                    expected=f"heads 0 to {self.layers - 1}, one on each layer",
                )
        cautious = self.settings.caution if caution is None else caution
        return Judges(cautious, None if heads is None else tuple(heads))

    def calibrate(self, scores: Float[Tensor, "N L"], outcomes: Bool[Tensor, " N"]) -> None:
        """Fit scale and bias of each head to positions that none was trained on; scores as `forward` gives them."""
        for layer in range(self.layers):
            fitted = platt(scores[:, layer].double().cpu().numpy(), outcomes.cpu().numpy())
            self.scale[layer], self.bias[layer] = fitted.scale, fitted.bias

    def examine(
        self,
        scores: Float[Tensor, "N L"],
        outcomes: Bool[Tensor, " N"],
        groups: Int[Tensor, " N"] | None = None,
        *,
        resamples: int | None = None,
    ) -> None:
        """Hold calibrated values against outcomes that nothing was fitted to. Arguments as of `Trust.examined`."""
        found = Trust.examined((scores * self.scale + self.bias).sigmoid(), outcomes, groups, resamples=resamples)
        self.base.copy_(torch.tensor(found.base))
        self.skill.copy_(torch.tensor(found.skill))
        self.examined.copy_(torch.bincount(outcomes.long(), minlength=2))

    @property
    def trust(self) -> Trust:
        """What the examination says of the heads; none where there was none."""
        return Trust(tuple(self.base.tolist()), tuple(self.skill.tolist()))

    @property
    def doubt(self) -> str | None:
        """Why no plan is injected on the word of this critic; None where one may be."""
        badly, well = self.examined.tolist()
        if not badly + well:
            return "the critic was never examined, so it is trusted in nothing"
        if min(badly, well) < LEAST:
            return (
                f"the critic was examined on {well:,} positions that came out well and {badly:,} that did not, and "
                f"fewer than {LEAST} of either say nothing"
            )
        if not bool(self.skill.any()):
            return f"no head of the critic can be told from chance, on {badly + well:,} held-out positions"
        return None

    def loss(self, scores: Float[Tensor, "*N L"], targets: Float[Tensor, "*N"]) -> Float[Tensor, ""]:
        """Mean log loss over heads and the positions whose target is known, that is, not nan. Targets are 0 to 1.

        0, with a gradient of 0, where nothing is known.
        """
        known = targets.isfinite()
        if not bool(known.any()):
            return scores.sum() * 0.0
        wanted = targets[known].unsqueeze(-1).expand(-1, self.layers)
        return functional.binary_cross_entropy_with_logits(scores[known].float(), wanted.float())

    def parameters_of_heads(self) -> int:
        """Weights that one evaluation multiplies by, those of the backbone left out."""
        return sum(parameter.numel() for parameter in self.heads.parameters())


def _head(settings: CriticSettings, width: int) -> nn.Module:
    if isinstance(settings.head, LinearHead):
        return nn.Linear(width, 1)
    return nn.Sequential(nn.Linear(width, settings.head.inner), nn.SiLU(), nn.Linear(settings.head.inner, 1))
