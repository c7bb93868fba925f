"""Ways to make one signal out of two branches, r (RWKV-6) and m (Mamba-2).

Both arrive normalised to a root mean square of 1 (times a trained gain), so that no branch wins by its scale alone.

    weighted       s r + (1 - s) m                                  one trained number
    residual       r + P m                                          P starts near zero
    concat         P [r; m]
    gated          g r + (1 - g) m,  g = sigmoid(W [r; m] + b)      for each token, or each token and channel
    hybrid_norm    a (.) r + b (.) m                                a, b for each channel
    arbiter        w_1 r + w_2 m,  w = softmax(W h_t),  h a minGRU over [r; m]     [Feng et al. 2024]

B batch  T time  D width  E inner width of the arbiter
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from think.core.models.layers import linear
from think.core.models.roles import Role
from think.core.models.state import LayerState
from think.kernels.decode import Operand, Program
from think.kernels.scaled_sum import scaled_sum
from think.presets.base import Settings, knob

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Fused = tuple[Float[Tensor, "B T D"], LayerState]


class WeightedSettings(Settings):
    """One trained share for the whole block."""

    kind: Literal["weighted"] = "weighted"
    rwkv_share: Share = knob(0.5, acts_on="graph")
    "share of the RWKV-6 branch at the start"


class ResidualSettings(Settings):
    """RWKV-6 plus a projection of Mamba-2."""

    kind: Literal["residual"] = "residual"
    deviation: Annotated[float, Field(gt=0.0)] = knob(0.01, acts_on="graph")
    "standard deviation of the projection at the start"


class ConcatSettings(Settings):
    """A projection of both branches side by side."""

    kind: Literal["concat"] = "concat"


class GatedSettings(Settings):
    """A data-dependent share for each token."""

    kind: Literal["gated"] = "gated"
    per: Literal["token", "channel"] = knob("token", acts_on="graph")
    "one share for each token, or one for each token and channel"
    rwkv_share: Share = knob(0.5, acts_on="graph")
    "share of the RWKV-6 branch at the start"


class HybridNormSettings(Settings):
    """A trained gain for each channel of each branch."""

    kind: Literal["hybrid_norm"] = "hybrid_norm"
    rwkv_gain: Annotated[float, Field(gt=0.0)] = knob(0.5, acts_on="graph")
    "gain of the RWKV-6 branch at the start"
    mamba_gain: Annotated[float, Field(gt=0.0)] = knob(0.5, acts_on="graph")
    "gain of the Mamba-2 branch at the start"


class ArbiterSettings(Settings):
    """A small recurrent network that weighs the branches by what it has seen of both."""

    kind: Literal["arbiter"] = "arbiter"
    inner: PositiveInt = knob(acts_on="graph")
    "width of the arbiter's state"


FusionSettings = Annotated[
    WeightedSettings | ResidualSettings | ConcatSettings | GatedSettings | HybridNormSettings | ArbiterSettings,
    Field(discriminator="kind"),
]


class Fusion(nn.Module):
    """Base: no state. A subclass defines `fuse` or, with state, `forward`."""

    def initial_state(self, batch: int) -> LayerState:
        return {}

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        raise NotImplementedError

    def forward(
        self,
        r: Float[Tensor, "B T D"],
        m: Float[Tensor, "B T D"],
        state: LayerState,
        reset: Bool[Tensor, "B T"] | None,
    ) -> Fused:
        return self.fuse(r, m), {}

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        """Append what `forward` does with one token to a decoding program; `both` is r and m side by side."""
        raise NotImplementedError


def logit(share: float) -> float:
    return math.log(share / (1 - share))


class Weighted(Fusion):
    ROLES: ClassVar[dict[str, Role]] = {"balance": "decay"}

    def __init__(self, settings: WeightedSettings, width: int):
        super().__init__()
        self.balance = nn.Parameter(torch.tensor([logit(settings.rwkv_share)]))

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return torch.lerp(m, r, torch.sigmoid(self.balance).to(r.dtype))

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        return program.apply("lerp", m, r, program.vector(torch.sigmoid(self.balance)))


class Residual(Fusion):
    def __init__(self, settings: ResidualSettings, width: int):
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.project.weight, std=settings.deviation)

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return r + self.project(m)

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        projected = program.linear(m, self.project.weight)
        return program.apply("add", r, projected, out=projected)


class Concat(Fusion):
    def __init__(self, settings: ConcatSettings, width: int):
        super().__init__()
        self.project = linear(2 * width, width)

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.project(torch.cat([r, m], dim=-1))

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        return program.linear(both, self.project.weight)


class Gated(Fusion):
    ROLES: ClassVar[dict[str, Role]] = {"weight": "decay", "bias": "decay"}

    def __init__(self, settings: GatedSettings, width: int):
        super().__init__()
        gates = width if settings.per == "channel" else 1
        self.weight = nn.Parameter(torch.zeros(2 * width, gates))  # zero: the first gate is the requested share
        self.bias = nn.Parameter(torch.full((gates,), logit(settings.rwkv_share)))

    def logits(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T G"]:
        """What the sigmoid of the gate receives; state health reads it too."""
        return torch.cat([r, m], dim=-1) @ self.weight.to(r.dtype) + self.bias.to(r.dtype)

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return torch.lerp(m, r, torch.sigmoid(self.logits(r, m)).expand_as(r))

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        share = program.linear(both, self.weight.T)
        share = program.apply("add", share, program.vector(self.bias), out=share)
        return program.apply("lerp", m, r, program.apply("sigmoid", share, out=share))


class HybridNorm(Fusion):
    ROLES: ClassVar[dict[str, Role]] = {"rwkv_gain": "vector", "mamba_gain": "vector"}

    def __init__(self, settings: HybridNormSettings, width: int):
        super().__init__()
        self.implementation = "auto"
        self.rwkv_gain = nn.Parameter(torch.full((width,), settings.rwkv_gain))
        self.mamba_gain = nn.Parameter(torch.full((width,), settings.mamba_gain))

    def fuse(self, r: Float[Tensor, "B T D"], m: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return scaled_sum(r, m, self.mamba_gain, self.rwkv_gain, implementation=self.implementation)

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        scaled = program.apply("multiply", r, program.vector(self.rwkv_gain))
        return program.apply("addcmul", scaled, m, program.vector(self.mamba_gain), out=scaled)


class Arbiter(Fusion):
    """h_t = (1 - z_t) h_{t-1} + z_t g(c_t), with g(c) = c + 1/2 above zero and sigmoid(c) below: always positive."""

    ROLES: ClassVar[dict[str, Role]] = {"weigh": "decay"}

    def __init__(self, settings: ArbiterSettings, width: int):
        super().__init__()
        self.inner = settings.inner
        self.candidate = linear(2 * width, settings.inner)
        self.update = linear(2 * width, settings.inner)
        self.weigh = nn.Parameter(torch.zeros(settings.inner, 2))  # zero: both branches weigh the same at first

    def initial_state(self, batch: int) -> LayerState:
        return {"fusion.hidden": torch.zeros(batch, self.inner, device=self.weigh.device)}

    def forward(
        self,
        r: Float[Tensor, "B T D"],
        m: Float[Tensor, "B T D"],
        state: LayerState,
        reset: Bool[Tensor, "B T"] | None,
    ) -> Fused:
        both = torch.cat([r, m], dim=-1)
        candidate, update = self.candidate(both).float(), torch.sigmoid(self.update(both).float())
        positive = torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate))
        keep = 1 - update if reset is None else (1 - update).masked_fill(reset.unsqueeze(-1), 0.0)
        hidden = scan(keep, update * positive, state["fusion.hidden"])
        weights = torch.softmax(hidden @ self.weigh.float(), dim=-1).to(r.dtype)
        return weights[..., :1] * r + weights[..., 1:] * m, {"fusion.hidden": hidden[:, -1]}

    def lower(self, program: Program, r: Operand, m: Operand, both: Operand) -> Operand:
        candidate = program.linear(both, self.candidate.weight)
        update = program.linear(both, self.update.weight)
        hidden = program.state("fusion.hidden", self.inner)
        program.apply("positive", candidate, out=candidate)
        program.apply("lerp", hidden, candidate, program.apply("sigmoid", update, out=update), out=hidden)
        # of two weights that sum to 1, the first is the sigmoid of the difference
        share = program.linear(hidden, (self.weigh[:, :1] - self.weigh[:, 1:]).T)
        return program.apply("lerp", m, r, program.apply("sigmoid", share, out=share))


def scan(
    keep: Float[Tensor, "B T E"], add: Float[Tensor, "B T E"], first: Float[Tensor, "B E"]
) -> Float[Tensor, "B T E"]:
    """h_t = keep_t h_{t-1} + add_t from h_{-1} = `first`, by doubling: log2 T sweeps, safe for any decay."""
    add = torch.cat([torch.addcmul(add[:, :1], keep[:, :1], first.unsqueeze(1)), add[:, 1:]], dim=1)
    distance = 1
    while distance < keep.shape[1]:
        later = torch.addcmul(add[:, distance:], keep[:, distance:], add[:, :-distance])
        add = torch.cat([add[:, :distance], later], dim=1)
        keep = torch.cat([keep[:, :distance], keep[:, distance:] * keep[:, :-distance]], dim=1)
        distance *= 2
    return add


_RULES: dict[str, type[Fusion]] = {
    "weighted": Weighted,
    "residual": Residual,
    "concat": Concat,
    "gated": Gated,
    "hybrid_norm": HybridNorm,
    "arbiter": Arbiter,
}


def build_fusion(settings: Settings, width: int) -> Fusion:
    """The rule that `settings.kind` names."""
    return _RULES[settings.kind](settings, width)  # type: ignore[attr-defined]
