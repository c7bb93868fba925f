"""The critic of a run and the dynamics that belong to it, as arms use them: beside the backbone that is asked."""

from collections.abc import Sequence

import torch

from think.core.assembled import Assembled
from think.core.critics import CriticRun
from think.core.data.puzzles import Task
from think.core.data.puzzles.encoding import Encoding
from think.core.data.tokenizer import ENDOFTURN
from think.core.errors import BadSettings
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.searching import FUSED, MODEL
from think.core.generation import full_context
from think.core.planning.exact import ExactWorld
from think.core.planning.rules import SearchSettings


def planner(
    judge: CriticRun,
    thinker: Assembled,
    task: Task,
    search: SearchSettings,
    *,
    legality: bool,
    keep: bool = False,
    heads: Sequence[int] | None = None,
    caution: float | None = None,
    prior: str = MODEL,
) -> Planner:
    """The critic of a run beside the model that it goes with.

    heads, caution: which heads judge, and how cautiously; None: all, and as cautiously as they were trained to.
    prior: whose policy is searched, as in `Searching`.
    Raises BadSettings for another model, for a search that considers more actions than the task has, for a head that
    the critic has not, and for a policy that the run has not.
    """
    critic = judge.critic(thinker)
    search.check(len(task.actions), "--considered")
    actions = torch.from_numpy(Encoding(task, thinker.tokenizer).actions)
    end, judges = None if legality else ENDOFTURN, critic.asked(heads, caution)
    fusion = judge.fusion(thinker) if prior == FUSED else None
    world = ExactWorld(thinker.model, critic, actions, end=end, judges=judges, fusion=fusion)
    # no further than a context reaches: what is forced is read beyond the depth of a search
    return Planner(world, search, legality, forced=full_context(thinker.model) is None, keep=keep)


def latent(judge: CriticRun, thinker: Assembled, task: Task, search: SearchSettings) -> Latent:
    """The dynamics of a critic's run. Raises BadSettings without any, or when they know other actions."""
    dynamics, run = judge.dynamics(thinker)
    if dynamics.world.actions != len(task.actions):
        raise BadSettings(
            f"the dynamics of {run} foresee {dynamics.world.actions} actions, and the task has {len(task.actions)}",
            where="--arm search_latent",
            expected="dynamics that were trained on games of the task's puzzles",
            remedy="train stage 2 with --set stage2.games.kind='\"puzzles\"'",
        )
    return Latent(thinker.model, dynamics, search)
