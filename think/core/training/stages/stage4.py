"""Stage 4 puts backbone, world model and critic together, and learns how much each layer has to say in the policy."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from think.core import plugins, seeding
from think.core.data.store import Packed
from think.core.errors import BadData
from think.core.models import build
from think.core.models.thinking import Thinking
from think.core.planning import native
from think.core.planning.fusion import Fusion
from think.core.planning.games import actions_of, games_of
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.search import gumbel_noise
from think.core.planning.trajectories import MixtureSettings, Trajectories
from think.core.training import sealed
from think.core.training.loop import LoopSettings
from think.core.training.modules import Judgement, Losses, ModuleSettings, ModuleWork, Objective
from think.core.training.predecessor import Predecessor
from think.core.training.stages import FAMILY, Request
from think.core.training.stages._modules import backbone, module_stage, predecessor
from think.core.training.weights import load_weights
from think.presets.base import Settings, knob

NAME = "stage4"

PARTS = {"stage2": "dynamics", "stage3": "critic"}
"What each stage has trained, as the assembly calls it."

CLOSE = 0.02
"""Relative difference of a part's held-out loss from what it was when the part was trained. On one machine there is
none; another one rounds differently, and a game that the model plays itself may then take another course."""

SOLUTIONS = MixtureSettings(gold=1.0, own=0.0, noisy=0.0, random=0.0)
"Games that the policy is learned from."

SECTIONS = "sections"
"Where a checkpoint keeps the settings that its parts were trained by."


class DistillationSettings(Settings):
    """The backbone learns what a search in the world model would play."""

    weight: PositiveFloat = knob(1.0, acts_on="optimizer")
    "weight of the cross-entropy to the policy of the search, beside that to the solutions"
    simulations: PositiveInt = knob(16, acts_on="optimizer")
    "simulations of a search"
    considered: PositiveInt = knob(8, acts_on="optimizer")
    "actions that a search considers at its root"


class Stage4Settings(ModuleSettings):
    """Assembly of backbone, world model and critic, and the weights of the layers in their policy."""

    entropy_bonus: NonNegativeFloat = knob(0.0, acts_on="optimizer")
    "nats of loss taken off per nat of entropy of the layers' weights"
    distillation: DistillationSettings | None = None
    "whether the backbone learns from searches too; it stays as it is when absent"


class Assembly(nn.Module):
    """All parts of a model that deliberates. actions: the token of each action."""

    actions: Int[Tensor, " A"]

    def __init__(self, backbone: Thinking, dynamics: nn.Module, critic: nn.Module, actions: int):
        super().__init__()
        self.backbone, self.dynamics, self.critic = backbone, dynamics, critic
        self.fusion = Fusion(backbone.settings.layers)
        self.register_buffer("actions", torch.zeros(actions, dtype=torch.int64))


class Assembling(Objective):
    """The parts as they were trained, verified, and the solutions of the games that the world model knows."""

    module: Assembly

    def __init__(self, request: Request[Stage4Settings], packed: Packed, module: Assembly):
        self.module, self.settings = module, request.settings
        self.teacher = backbone(request)
        module.backbone.use_kernels(request.machine.kernels)
        first = predecessor(request, "stage1")
        load_weights(module.backbone, first.weights(), str(first.path))
        self._parts = {stage: _verified(request, packed, stage, getattr(module, part)) for stage, part in PARTS.items()}
        played = _section(predecessor(request, "stage2")).games
        self.train, self.held_out = (
            games_of(played, self.teacher, packed, request.data.sources, split) for split in ("train", "validation")
        )
        module.actions.copy_(self.train.actions)

    def losses(self, step: int) -> Losses:
        settings = self.settings
        games = self._play(self.train, seeding.stream(settings.seed, NAME, "batch", step), settings.rows)
        distils = settings.distillation is not None
        with torch.set_grad_enabled(distils):
            residuals = self._read(self.module.backbone, games)
        fused = self._cross_entropy(self._policy(residuals, games), games)
        total = fused - settings.entropy_bonus * self.module.fusion.entropy
        figures = {"policy_loss": float(fused.detach()), "weights_entropy": float(self.module.fusion.entropy.detach())}
        if settings.distillation is not None:
            taught = self._distillation(settings.distillation, residuals, games, step)
            total = total + settings.distillation.weight * taught
            figures["distillation_loss"] = float(taught.detach())
        return Losses(total, figures)

    def judge(self, rows: int) -> Judgement:
        """How well held-out solutions are foretold by all layers together, and by the last one alone."""
        games = self._play(self.held_out, seeding.stream(self.settings.seed, NAME, "held out"), rows)
        with torch.no_grad():
            residuals = self._read(self.module.backbone, games)
            fused, last = (self._policy(part, games) for part in (residuals, residuals[:, :, -1:]))
            losses = [float(self._cross_entropy(policy, games)) for policy in (fused, last)]
            shares = {f"layer_{layer}_weight": float(share) for layer, share in enumerate(self.module.fusion.weights)}
        return Judgement(losses[0], rows, {"last_layer_loss": losses[1], **self._moved(), **shares})

    def settle(self) -> None:
        """Examine the critic again where the backbone has learned what it may read, and where nobody has before."""
        work, _ = self._parts["stage3"]
        critic: Any = self.module.critic
        judging: Any = work.objective
        if self.settings.distillation is not None:
            judging.model = self.module.backbone
        if self.settings.distillation is not None or not bool(critic.examined.any()):
            judging.examine()

    def facts(self) -> Mapping[str, Any]:
        return {SECTIONS: {stage: work.settings.model_dump(mode="json") for stage, (work, _) in self._parts.items()}}

    def _moved(self) -> dict[str, float]:
        """How far the loss of each part is from what it was; a backbone that has learned moves those that read it."""
        found = {}
        for stage, (work, before) in self._parts.items():
            if self.settings.distillation is not None:
                work.objective.model = self.module.backbone  # type: ignore[attr-defined]
            now = work.objective.judge(work.settings.evaluation.rows_at_end).loss
            found[f"{PARTS[stage]}_moved"] = abs(now - before)
        return found

    def _play(self, by: Any, seed: int, rows: int) -> Trajectories:
        games: Trajectories = by.batch(seed, rows, SOLUTIONS)
        return games.to(self.module.actions.device)

    def _read(self, model: Thinking, games: Trajectories) -> Float[Tensor, "B K1 L D"]:
        return model.residuals(games.tokens)[0][:, games.prompt - 1 :]

    def _policy(self, residuals: Float[Tensor, "B K1 L D"], games: Trajectories) -> Float[Tensor, "B K1 A"]:
        """Scores of the actions, minus infinity where one is not legal; of one layer alone if there is but one."""
        model = self.module.backbone
        one = residuals.shape[2] == 1
        scores = model.logits(model.norm(residuals[:, :, 0])) if one else self.module.fusion.logits(model, residuals)
        scores = scores[..., self.module.actions].float()
        return scores if games.legal is None else scores.masked_fill(_never(games), -torch.inf)

    def _cross_entropy(self, policy: Float[Tensor, "B K1 A"], games: Trajectories) -> Float[Tensor, ""]:
        """Mean over the actions of the solutions, in nats."""
        asked = _asked(games)
        losses = functional.cross_entropy(policy[:, :-1].transpose(1, 2), games.actions, reduction="none")
        return torch.where(asked, losses, 0.0).sum() / asked.sum()

    def _distillation(
        self,
        asked: DistillationSettings,
        residuals: Float[Tensor, "B K1 L D"],
        games: Trajectories,
        step: int,
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the backbone's policy to that of a search, at one place of each game, in nats.

        The search begins at what the backbone held before it learned anything, which is what the world model knows.
        """
        settings, rows = self.settings, torch.arange(len(games), device=games.steps.device)
        draw = seeding.generator(settings.seed, NAME, "searches", step)
        places = (torch.rand(len(games), generator=draw).to(rows.device) * games.steps).long()
        legal = None if games.legal is None else games.legal[rows, places]
        with torch.no_grad():
            dynamics: Any = self.module.dynamics
            roots = dynamics.root(self._read(self.teacher, games)[rows, places])
            rule = Gumbel(considered=min(asked.considered, len(self.module.actions)))
            how = SearchSettings(simulations=asked.simulations, rule=rule)
            noise = gumbel_noise(how, len(games), len(self.module.actions), draw)
            noise = None if noise is None else noise.to(roots.device)
            target = native.search(roots, dynamics.world, how, noise=noise, legal=legal).policy
        own = self._policy(residuals[:, :, -1:], games)[rows, places].log_softmax(-1)
        return -torch.where(target > 0, target * own, 0.0).sum(-1).mean()


def _never(games: Trajectories) -> Bool[Tensor, "B K1 A"]:
    """Actions that are not legal; where none is, at the end of a game, all are let through and never asked for."""
    assert games.legal is not None
    return ~games.legal & games.legal.any(-1, keepdim=True)


def _asked(games: Trajectories) -> Bool[Tensor, "B K"]:
    """Actions that were really played."""
    return torch.arange(games.most, device=games.steps.device) < games.steps.unsqueeze(1)


def _verified(request: Request[Any], packed: Packed, stage: str, part: nn.Module) -> tuple[ModuleWork, float]:
    """A part as it was trained, loaded into the assembly, and the held-out loss that it is found to have still.

    Raises BadData, naming the part, when its tensors do not fit or it does not reproduce its own loss.
    """
    found = predecessor(request, stage)
    told = replace(request, settings=_section(found), predecessor=found.before)
    work: ModuleWork = plugins.load(FAMILY, stage).make(told, request.group, packed)
    load_weights(work.module, found.weights(), str(found.path))
    load_weights(part, found.weights(), str(found.path))
    work.objective.module = part.eval()
    judged = sealed.facts(found.path).get("judged")
    if judged is None:
        raise BadData(
            f"the {PARTS[stage]} of {found.run} was never judged after its last step, so it cannot be verified",
            where=str(found.path),
            expected=f"a run of {stage} that has finished",
            remedy=f"finish it: think train {stage} --resume --out {found.run}",
        )
    now, before = work.objective.judge(work.settings.evaluation.rows_at_end).loss, float(judged["loss"])
    if not math.isclose(now, before, rel_tol=CLOSE, abs_tol=1e-6):
        raise BadData(
            f"the {PARTS[stage]} of {found.run} does not do what it did: held-out loss {now:.6g}, {before:.6g} when it "
            "was trained",
            where=str(found.path),
            expected=f"the same loss, within {CLOSE:.0%}, on the same data with the same backbone",
            remedy=f"train it anew on the backbone that is there: think train {stage}",
        )
    return work, before


def _section(found: Predecessor) -> Any:
    if found.settings is None:
        raise LookupError(f"{found.run} is known without its settings")
    return found.settings


def assembly(request: Request[Any], sections: Mapping[str, LoopSettings]) -> Assembly:
    """All parts, freshly initialised, as the sections of the stages that train them say; shapes alone on meta."""
    parts: dict[str, Any] = {}
    for stage, part in PARTS.items():
        made_by = plugins.load(FAMILY, stage).module
        parts[part] = made_by(replace(request, settings=sections[stage])).requires_grad_(False)
    games = sections["stage2"].games  # type: ignore[attr-defined]
    actions = actions_of(games, request.data.sources, request.model.vocabulary)
    return Assembly(build(request.model).requires_grad_(False), parts["dynamics"], parts["critic"], actions)


def module(request: Request[Stage4Settings]) -> Assembly:
    """The assembly of what the request stands on; the weights of the layers learn, and the backbone if so asked."""
    made = assembly(request, {stage: _section(predecessor(request, stage)) for stage in PARTS})
    made.backbone.requires_grad_(request.settings.distillation is not None)
    return made


def load_assembly(
    request: Request[Any], facts: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> Assembly:
    """What a checkpoint of this stage holds, ready to be used. Raises BadData for tensors that do not fit."""
    sections = {
        stage: plugins.load(FAMILY, stage).Settings.model_validate_json(json.dumps(facts[SECTIONS][stage]))
        for stage in PARTS
    }
    made = assembly(request, sections)
    load_weights(made, tensors, where)
    return made.eval()


SPEC = module_stage(
    NAME,
    Stage4Settings,
    module,
    Assembling,
    after="stage3",
    tiny={
        "steps": 6,
        "rows": 4,
        "learning_rate": 0.01,
        "distillation": {"simulations": 4, "considered": 2},
        "evaluation": {"every": 2, "rows": 4, "rows_at_end": 8},
    },
)
