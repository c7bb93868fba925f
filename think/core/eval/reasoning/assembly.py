"""The critic of a run of stage 3 and the dynamics that it stands on, as arms use them: beside their own backbone."""

from collections.abc import Sequence

import torch

from think.core.assembled import Assembled
from think.core.data.puzzles import Task
from think.core.data.puzzles.encoding import Encoding
from think.core.data.tokenizer import ENDOFTURN
from think.core.deliberator import critic_of, dynamics_of
from think.core.errors import BadSettings
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.planner import Planner
from think.core.generation import full_context
from think.core.planning.exact import ExactWorld
from think.core.planning.rules import SearchSettings
from think.core.predecessors import read
from think.core.runs import RunFolder
from think.core.training.predecessor import Predecessor


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
    keep: bool = False,
    heads: Sequence[int] | None = None,
    caution: float | None = None,
) -> Planner:
    """The critic of a run beside the model that it was trained on.

    heads, caution: which heads judge, and how cautiously; None: all, and as cautiously as they were trained to.
    Raises BadSettings for another model, for a search that considers more actions than the task has, and for a head
    that the critic has not.
    """
    critic = critic_of(found, thinker)
    search.check(len(task.actions))
    actions = torch.from_numpy(Encoding(task, thinker.tokenizer).actions)
    end, judges = None if legality else ENDOFTURN, critic.asked(heads, caution)
    world = ExactWorld(thinker.model, critic, actions, end=end, judges=judges)
    # no further than a context reaches: what is forced is read beyond the depth of a search
    return Planner(world, search, legality, forced=full_context(thinker.model) is None, keep=keep)


def latent(found: Predecessor, thinker: Assembled, task: Task, search: SearchSettings) -> Latent:
    """The dynamics that a critic's run stands on. Raises BadSettings without any, or when they know other actions."""
    dynamics, below = dynamics_of(found, thinker)
    if dynamics.world.actions != len(task.actions):
        raise BadSettings(
            f"the dynamics of {below.run} foresee {dynamics.world.actions} actions, and the task has "
            f"{len(task.actions)}",
            where="--arm search_latent",
            expected="dynamics that were trained on games of the task's puzzles",
            remedy="train stage 2 with --set stage2.games.kind='\"puzzles\"'",
        )
    return Latent(thinker.model, dynamics, search)
