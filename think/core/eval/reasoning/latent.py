"""What the arm brings that searches in the latent world: trained dynamics beside the backbone that they foresee.

Below the root of such a search there are no rules: the world's own policy and its own end head say what follows.

B positions   A actions   L layers   D width
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning import native
from think.core.planning.dynamics import Dynamics
from think.core.planning.rules import SearchSettings
from think.core.planning.search import gumbel_noise

PROJECTIONS, STEPS = "projections", "dynamics"
"What is counted: positions that became states of the latent world, and nodes that it foresaw."


@dataclass(frozen=True)
class Standing:
    """Where the backbone stands: its state, and what it holds at the last token, [B, L, D]."""

    state: State
    residuals: Float[Tensor, "B L D"]


@dataclass(frozen=True)
class Latent:
    """Dynamics of a backbone, and the settings of searches. used: what was computed so far, by the names above."""

    model: Thinking
    dynamics: Dynamics
    search: SearchSettings
    used: dict[str, int] = field(default_factory=lambda: {PROJECTIONS: 0, STEPS: 0})

    def fresh(self) -> "Latent":
        """The same, of which nothing has been computed yet."""
        return replace(self, used={PROJECTIONS: 0, STEPS: 0})

    @torch.no_grad()
    def read(self, tokens: Int[Tensor, "B T"], before: Standing | None = None) -> Standing:
        """Where the backbone stands after more tokens; the first ones are a prompt of two or more."""
        state = self.model.hidden(tokens[:, :-1])[1] if before is None else before.state
        residuals, state = self.model.residuals(tokens[:, -1:], state)
        return Standing(state, residuals[:, 0])

    @torch.no_grad()
    def choose(
        self, standing: Standing, rows: Int[Tensor, " N"], legal: Bool[Tensor, "N A"], generator: torch.Generator
    ) -> Int[Tensor, " N"]:
        """The action that a search from some of the rows finds."""
        roots = self.dynamics.root(standing.residuals[rows]).float()
        noise = gumbel_noise(self.search, len(rows), legal.shape[1], generator)
        found = native.search(roots, self.dynamics.world, self.search, noise=noise, legal=legal)
        self.used[PROJECTIONS] += len(rows)
        self.used[STEPS] += int(found.evaluations.sum())
        return found.action

    @property
    def prices(self) -> dict[str, int]:
        """Floating-point operations of each thing that is counted: 2 for each weight of a linear map."""
        world = self.dynamics.world
        heads = [head for head in (world.policy, world.value, world.reward, world.end) if head is not None]
        weights = [world.cell.weight_ih, world.cell.weight_hh, *(head.weight for head in heads)]
        projected = sum(parameter.numel() for parameter in self.dynamics.projections.parameters())
        return {PROJECTIONS: 2 * projected, STEPS: 2 * sum(weight.numel() for weight in weights)}
