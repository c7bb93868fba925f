"""The critic of a run of stage 3 and the dynamics that it stands on, as arms use them: beside their own backbone."""

from collections.abc import Sequence
from typing import Any

import torch

from think.core.assembled import Assembled
from think.core.data.puzzles import Task
from think.core.data.puzzles.encoding import Encoding
from think.core.data.tokenizer import ENDOFTURN
from think.core.errors import BadSettings
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.planner import Planner
from think.core.generation import full_context
from think.core.planning.critic import Critic
from think.core.planning.dynamics import Dynamics
from think.core.planning.exact import ExactWorld
from think.core.planning.rules import SearchSettings
from think.core.predecessors import read
from think.core.runs import RunFolder
from think.core.training.predecessor import Predecessor
from think.core.training.stages.stage3 import Stage3Settings
from think.core.training.weights import load_weights


def critic_run(folder: RunFolder) -> Predecessor:
    """A run of stage 3 with all that it stands on. Raises BadSettings for another stage, Missing without checkpoint."""
    found = read(folder)
    if found.stage != "stage3":
        raise BadSettings(
            f"{folder.name} is a run of {found.stage}, which trains no critic",
            where="--critic",
            expected="a run of stage 3",
            remedy="think train stage3 --preset NAME, which says what it stands on; then --critic its name",
        )
    return found


def planner(
    found: Predecessor,
    thinker: Assembled,
    task: Task,
    search: SearchSettings,
    *,
    legality: bool,
    heads: Sequence[int] | None = None,
    caution: float | None = None,
) -> Planner:
    """The critic of a run beside the model that it was trained on.

    heads, caution: which heads judge, and how cautiously; None: all, and as cautiously as they were trained to.
    Raises BadSettings for another model, for a search that considers more actions than the task has, and for a head
    that the critic has not.
    """
    below = found.of("stage1")
    if below.path != thinker.path:
        raise BadSettings(
            f"the critic of {found.run} was trained on {below.run} at step {below.step:,}",
            where="--critic",
            expected=f"that model, not {thinker.path}",
            remedy="leave RUN out: the critic's run names its model",
        )
    search.check(len(task.actions))
    assert isinstance(found.settings, Stage3Settings), "a run of stage 3 has its section"
    critic = Critic(found.settings.critic, thinker.settings.model)
    load_weights(critic, found.weights(), str(found.path))
    actions = torch.from_numpy(Encoding(task, thinker.tokenizer).actions)
    end, judges = None if legality else ENDOFTURN, critic.asked(heads, caution)
    world = ExactWorld(thinker.model, critic.eval(), actions, end=end, judges=judges)
    # no further than a context reaches: what is forced is read beyond the depth of a search
    return Planner(world, search, legality, forced=full_context(thinker.model) is None)


def latent(found: Predecessor, thinker: Assembled, task: Task, search: SearchSettings) -> Latent:
    """The dynamics that a critic's run stands on. Raises BadSettings without any, or when they know other actions."""
    below = next((run for run in found.chain() if run.stage == "stage2"), None)
    if below is None:
        raise BadSettings(
            f"{found.run} stands on no dynamics",
            where="--arm search_latent",
            expected="a run of stage 3 that was trained on one of stage 2",
            remedy="leave search_latent out",
        )
    settings: Any = below.settings
    held, model = below.weights(), thinker.settings.model
    actions = held["world.policy.weight"].shape[0]
    if actions != len(task.actions):
        raise BadSettings(
            f"the dynamics of {below.run} foresee {actions} actions, and the task has {len(task.actions)}",
            where="--arm search_latent",
            expected="dynamics that were trained on games of the task's puzzles",
            remedy="train stage 2 with --set stage2.games.kind='\"puzzles\"'",
        )
    dynamics = Dynamics(settings.dynamics, model.layers, model.width, actions)
    load_weights(dynamics, held, str(below.path))
    return Latent(thinker.model, dynamics.eval(), search)
