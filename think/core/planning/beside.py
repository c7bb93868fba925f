"""Everything that deliberation beside a text is told, and the planner that a world model and a critic make together.

    planner = planner_of(model, dynamics, critic, tokens, settings, allowed=tokenizer.size)
    with Deliberation(model, planner, settings.deliberation, settings.injection) as deliberation: ...

The plan is searched in the latent world, and judged by the critic where it ends, on the residual stream that really
follows from it. A layer is trusted as far as the critic's examination goes: see confidence.py.

A actions   V vocabulary
"""

import torch
from jaxtyping import Bool, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from think.core.data.tokenizer import CONTROL
from think.core.models.thinking import Thinking
from think.core.planning.critic import Critic
from think.core.planning.deliberate import DeliberationSettings
from think.core.planning.dynamics import Dynamics
from think.core.planning.injection import InjectionSettings
from think.core.planning.planner import LatentPlanner, judged_by
from think.core.planning.rules import SearchSettings
from think.presets.base import Settings, knob


class PlanSettings(Settings):
    """What is taken from a search."""

    longest: PositiveInt = knob(8, acts_on="evaluation")
    "tokens of a plan at most"


class BesideSettings(Settings):
    """Deliberation beside a text."""

    search: SearchSettings = Field(default_factory=SearchSettings)
    "how plans are searched"
    plan: PlanSettings = Field(default_factory=PlanSettings)
    "what is taken from a search"
    deliberation: DeliberationSettings = Field(default_factory=DeliberationSettings)
    "when plans are made"
    injection: InjectionSettings = Field(default_factory=InjectionSettings)
    "how far they move the state"


def planner_of(
    model: Thinking,
    dynamics: Dynamics,
    critic: Critic,
    tokens: Int[Tensor, " A"],
    settings: BesideSettings,
    *,
    allowed: int,
    context: int | None = None,
    seed: int = 0,
) -> LatentPlanner:
    """A planner for texts of the model.

    tokens: of each action; allowed: size of the tokenizer; context: tokens that the model can see, none for any number;
    seed: of the noise of searches, where their rule has some. Raises BadSettings for a search of more actions than
    there are.
    """
    return LatentPlanner(
        dynamics.world,
        dynamics.root,
        tokens,
        settings.search,
        critic.trust,
        longest=settings.plan.longest,
        judge=judged_by(model, critic),
        legal=_sayable(tokens, allowed),
        context=context,
        seed=seed,
    )


def _sayable(tokens: Int[Tensor, " A"], allowed: int) -> Bool[Tensor, " A"] | None:
    """Actions that a plan may begin with: text. A control token would end the text, and others mean nothing."""
    found = (tokens >= len(CONTROL)) & (tokens < allowed)
    return None if bool(torch.all(found)) else found
