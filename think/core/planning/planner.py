"""What deliberation asks of whoever plans: from where a text stands, the tokens that it should come to.

A planner runs beside the writer, in a thread of its own: it must not change the model, nor keep what it is handed.

L layers   D width   V vocabulary
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core import seeding
from think.core.models.state import State
from think.core.planning import native
from think.core.planning.confidence import Trust, confidence
from think.core.planning.gru import GruWorld
from think.core.planning.rules import SearchSettings
from think.core.planning.search import Result, gumbel_noise


@dataclass(frozen=True)
class Root:
    """Where a text stands: the state after its last token, the residual stream there, and what the model foretells."""

    state: State
    residual: Float[Tensor, "L D"]
    logits: Float[Tensor, " V"]


@dataclass(frozen=True)
class Planned:
    """What a planner proposes.

    tokens      to come next, in order; none: nothing to propose
    confidence  of each layer of the model, in [0, 1]
    search      the search behind it, one position; none where there was none
    """

    tokens: tuple[int, ...]
    confidence: tuple[float, ...]
    search: Result | None = None


class Planner(Protocol):
    """Something that plans."""

    def plan(self, root: Root) -> Planned:
        """The tokens that should come next. Equal roots give equal plans."""
        ...


class LatentPlanner:
    """Plans by a search in a GRU world; the plan is the line that was taken most often.

    root     residual stream [1, L, D] of a position -> its latent state [1, H]
    tokens   the token id of each action of the world
    trust    in the world's value heads: one for each layer of the model
    longest  tokens of a plan at most
    legal    actions that a plan may begin with; all when absent
    seed     of the noise of the search, which is drawn anew for each position
    """

    def __init__(
        self,
        world: GruWorld,
        root: Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B H"]],
        tokens: Int[Tensor, " A"],
        settings: SearchSettings,
        trust: Trust,
        *,
        longest: int,
        legal: Bool[Tensor, " A"] | None = None,
        seed: int = 0,
    ):
        settings.check(world.actions)
        heads = world.value.out_features
        if heads != len(trust.skill):
            raise ValueError(f"{heads} value heads and trust in {len(trust.skill)}")
        self.world, self.root, self.tokens, self.settings = world, root, tokens, settings
        self.trust, self.longest, self.legal, self.seed = trust, longest, legal, seed

    @torch.no_grad()
    def plan(self, root: Root) -> Planned:
        """The most visited line, as tokens. Raises what the search raises."""
        state = self.root(root.residual.unsqueeze(0))
        noise = gumbel_noise(
            self.settings, 1, self.world.actions, seeding.generator(self.seed, f"plan at {root.state.position}")
        )
        legal = None if self.legal is None else self.legal.unsqueeze(0)
        found = native.search(state, self.world, self.settings, noise=noise, legal=legal)
        action = int(found.action)
        child = found.tree.child[0, 0, action : action + 1]
        line = [action, *found.tree.line(0, int(child))][: self.longest]
        values = self.world.value(found.tree.shelf.read(child))[0]
        values = values.sigmoid() if self.world.squash else values.clamp(0.0, 1.0)
        sure = confidence(
            values.tolist(), self.trust, share=float(found.share[0, action]), considered=int(found.considered)
        )
        return Planned(tuple(self.tokens[line].tolist()), sure, found)
