"""What deliberates beside a model, found where training left it: in a run of stage 4, or in one of stage 3.

    thinker = think.load("runs/thinker")
    held = held_by(thinker)                       the parts of a run of stage 4; None for any other model
    held = trained_beside(critic_run, thinker)    the critic of a run of stage 3, and the dynamics that it stands on
    planner = held.planner(BesideSettings(), seed=1)

A actions
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.assembled import Assembled
from think.core.data.puzzles.encoding import Encoding
from think.core.errors import BadData, BadSettings
from think.core.generation import full_context
from think.core.models.thinking import Thinking
from think.core.planning.beside import BesideSettings, planner_of
from think.core.planning.critic import Critic
from think.core.planning.dynamics import Dynamics
from think.core.planning.games import PuzzleGames, puzzles_of
from think.core.planning.injection import matrices_of
from think.core.planning.planner import LatentPlanner
from think.core.training.predecessor import Predecessor
from think.core.training.stages.stage2 import Stage2Settings
from think.core.training.stages.stage3 import Stage3Settings
from think.core.training.weights import load_weights


@dataclass(frozen=True)
class Deliberator:
    """World model and critic of a model that writes.

    actions  the token of each action of the world
    run      the run that critic and dynamics come from
    """

    thinker: Assembled
    dynamics: Dynamics
    critic: Critic
    actions: Int[Tensor, " A"]
    run: str

    @property
    def of_texts(self) -> bool:
        """Whether its actions are all tokens, and what it was examined on are texts; else they are those of a task."""
        return len(self.actions) == self.thinker.settings.model.vocabulary

    def planner(self, settings: BesideSettings, seed: int = 0) -> LatentPlanner:
        """Plans for texts of the model. Raises BadSettings for a search that considers more actions than there are."""
        return planner_of(
            self.thinker.model,
            self.dynamics,
            self.critic,
            self.actions,
            settings,
            allowed=self.thinker.tokenizer.size,
            context=full_context(self.thinker.model),
            seed=seed,
        )


def held_by(thinker: Assembled) -> Deliberator | None:
    """The parts that stand beside a model in one checkpoint; None where there are none."""
    parts: Any = thinker.parts
    if parts is None:
        return None
    return Deliberator(thinker, parts.dynamics, parts.critic, parts.actions, str(thinker.path))


def trained_beside(found: Predecessor, thinker: Assembled) -> Deliberator:
    """The critic of a run of stage 3 with the dynamics that it stands on.

    Raises BadSettings where that run stands on another model, or on no dynamics.
    """
    critic, (dynamics, below) = critic_of(found, thinker), dynamics_of(found, thinker)
    settings = below.settings
    assert isinstance(settings, Stage2Settings), "a run of stage 2 has its section"
    actions = torch.arange(thinker.settings.model.vocabulary)
    if isinstance(settings.games, PuzzleGames):
        task, _ = puzzles_of(thinker.settings.data.sources)
        actions = torch.from_numpy(Encoding(task, thinker.tokenizer).actions)
    device = thinker.model.embedding.weight.device
    return Deliberator(thinker, dynamics.to(device), critic.to(device), actions.to(device), str(found.path))


def critic_of(found: Predecessor, thinker: Assembled) -> Critic:
    """The critic of a run of stage 3. Raises BadSettings where it was trained on another model than this one."""
    below = found.of("stage1")
    if below.path != thinker.path:
        raise BadSettings(
            f"the critic of {found.run} was trained on {below.run} at step {below.step:,}",
            where="--critic",
            expected=f"that model, not {thinker.path}",
            remedy="leave RUN out: the critic's run names its model",
        )
    assert isinstance(found.settings, Stage3Settings), "a run of stage 3 has its section"
    critic = Critic(found.settings.critic, thinker.settings.model)
    load_weights(critic, found.weights(), str(found.path))
    return critic.eval().requires_grad_(False)


def dynamics_of(found: Predecessor, thinker: Assembled) -> tuple[Dynamics, Predecessor]:
    """The dynamics that a run of stage 3 stands on, and their run. Raises BadSettings without any."""
    below = next((run for run in found.chain() if run.stage == "stage2"), None)
    if below is None:
        raise BadSettings(
            f"{found.run} stands on no dynamics",
            where="--critic",
            expected="a run of stage 3 that was trained on one of stage 2",
            remedy="think train stage2 --preset NAME; then think train stage3 --from its name",
        )
    settings: Any = below.settings
    held, model = below.weights(), thinker.settings.model
    dynamics = Dynamics(settings.dynamics, model.layers, model.width, held["world.policy.weight"].shape[0])
    load_weights(dynamics, held, str(below.path))
    return dynamics.eval().requires_grad_(False), below


def expect_recurrent(thinker: Assembled) -> None:
    """Raises BadData for a model that has no recurrent state."""
    model: Thinking = thinker.model
    if not any(matrices_of(layer) for layer in model.initial_state(1).layers):
        raise BadData(
            "this model has no recurrent state that a plan could be injected into",
            where=str(thinker.path),
            expected="a model whose mixer is rwkv6, mamba2 or hybrid",
        )
