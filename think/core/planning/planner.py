"""What deliberation asks of whoever plans: from where a text stands, the tokens that it should come to.

A planner runs beside the writer, in a thread of its own: it must not change the model, nor keep what it is handed.

L layers   D width   V vocabulary
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core import seeding
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning import native
from think.core.planning.confidence import Trust, confidence
from think.core.planning.critic import Critic
from think.core.planning.gru import GruWorld
from think.core.planning.rules import SearchSettings
from think.core.planning.search import Result, gumbel_noise


@dataclass(frozen=True)
class Root:
    """Where a text stands.

    state     after its last token
    residual  the residual stream there
    logits    what the model foretells
    read      all tokens up to there; shorter where nobody said what the text had read before deliberation began
    """

    state: State
    residual: Float[Tensor, "L D"]
    logits: Float[Tensor, " V"]
    read: tuple[int, ...] = ()


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


Judge = Callable[[Root, tuple[int, ...]], Sequence[float]]
"Values of where a plan leads, calibrated: one for each layer, or one for all of them."


class LatentPlanner:
    """Plans by a search in a GRU world; the plan is the line that was taken most often.

    root     residual stream [1, L, D] of a position -> its latent state [1, H]
    tokens   the token id of each action of the world
    trust    in the values of the judge: one for each layer of the model
    judge    says what the plan is worth; the world's own value heads, at the plan's first action, when absent
    longest  tokens of a plan at most
    legal    actions that a plan may begin with; all when absent
    context  tokens that the model sees: no plan is longer than what fits, and none where nothing does
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
        judge: Judge | None = None,
        legal: Bool[Tensor, " A"] | None = None,
        context: int | None = None,
        seed: int = 0,
    ):
        settings.check(world.actions)
        heads = world.value.out_features
        if judge is None and heads not in (1, len(trust.skill)):
            raise ValueError(f"{heads} value heads and trust in {len(trust.skill)}")
        self.world, self.root, self.tokens, self.settings = world, root, tokens, settings
        self.trust, self.longest, self.context = trust, longest, context
        self.legal, self.seed, self.judge = legal, seed, judge

    @torch.no_grad()
    def plan(self, root: Root) -> Planned:
        """The most visited line, as tokens. Raises what the search raises."""
        longest = self.longest if self.context is None else min(self.longest, self.context - root.state.position)
        if longest < 1:
            return Planned((), ())
        state = self.root(root.residual.unsqueeze(0))
        noise = gumbel_noise(
            self.settings, 1, self.world.actions, seeding.generator(self.seed, f"plan at {root.state.position}")
        )
        legal = None if self.legal is None else self.legal.unsqueeze(0)
        found = native.search(state, self.world, self.settings, noise=noise, legal=legal)
        action = int(found.action)
        child = found.tree.child[0, 0, action : action + 1]
        line = [action, *found.tree.line(0, int(child))][:longest]
        planned = tuple(self.tokens[line].tolist())
        values = list(self.judge(root, planned) if self.judge is not None else self._own(found.tree.shelf.read(child)))
        if len(values) == 1:
            values *= len(self.trust.skill)
        share, considered = float(found.share[0, action]), int(found.considered)
        return Planned(planned, confidence(values, self.trust, share=share, considered=considered), found)

    def _own(self, state: Float[Tensor, "1 H"]) -> list[float]:
        values = self.world.value(state)[0]
        found: list[float] = (values.sigmoid() if self.world.squash else values.clamp(0.0, 1.0)).tolist()
        return found


def judged_by(model: Thinking, critic: Critic) -> Judge:
    """The judgement of a critic's heads on the residual stream at the end of a plan.

    A critic with a backbone of its own reads all of the text: whoever begins the deliberation must say what was read.
    """

    @torch.no_grad()
    def judge(root: Root, planned: tuple[int, ...]) -> Sequence[float]:
        device = next(model.parameters()).device
        if critic.backbone is None:
            residuals, _ = model.residuals(torch.tensor([planned], device=device), root.state)
        elif len(root.read) != root.state.position:
            raise ValueError(f"{len(root.read)} tokens are known of a text of {root.state.position}")
        else:
            residuals, _ = critic.backbone.residuals(torch.tensor([(*root.read, *planned)], device=device))
        values: list[float] = critic.values(residuals[0, -1]).tolist()
        return values

    return judge
