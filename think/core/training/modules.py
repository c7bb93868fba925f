"""Training a module on batches that are made as they are needed: what stages after the first do.

A batch is a pure function of seed, step and weights, so a run can stop anywhere and go on: there is no cursor. One
process does it; the modules are small beside the backbone that they read.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import Parameter

from think.core.models.roles import components, roles
from think.core.processes import ALONE, Group
from think.core.training import sealed
from think.core.training.cadence import EvaluationCadence
from think.core.training.checkpoint import Checkpoints
from think.core.training.loop import LoopSettings, trainable
from think.core.training.optimizer import Optimizer, Role
from think.core.training.parallel import RANDOM, random_streams
from think.core.training.predecessor import WEIGHTS
from think.core.training.weights import load_weights, weights
from think.core.training.work import Done, Look
from think.presets.base import knob

MEMORY = "memory"
"The group of tensors that an objective remembers besides its weights."


class ModuleEvaluationSettings(EvaluationCadence):
    """Judgement on held-out batches while training; the last step is followed by one on all of them."""

    rows: PositiveInt = knob(256, acts_on="evaluation")
    "held-out examples of an evaluation while training"
    rows_at_end: PositiveInt = knob(1024, acts_on="evaluation")
    "held-out examples of the last one"


class ModuleSettings(LoopSettings):
    """What the training of a module needs to be told."""

    evaluation: ModuleEvaluationSettings = Field(default_factory=ModuleEvaluationSettings)
    "held-out loss while training"


@dataclass(frozen=True)
class Losses:
    """The loss of a batch. total: what is differentiated; figures: parts of it and others, for the record, by name."""

    total: Tensor
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """What held-out examples said. rows: how many; figures: whatever else was measured, by name."""

    loss: float
    rows: int
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        return {"loss": self.loss, "rows": self.rows, **self.figures}


class Objective(ABC):
    """What a module learns, from what, and how well it does. module: all of it is saved; its parameters that require
    gradients are trained, and every one has a role (see models/roles.py)."""

    module: nn.Module

    @abstractmethod
    def losses(self, step: int) -> Losses:
        """The loss on the batch of a step, counted from 1; the batch is a pure function of seed, step and weights.

        Draws through `seeding.generator(seed, name, step)`, never from what another step has left.
        """

    @abstractmethod
    def judge(self, rows: int) -> Judgement:
        """How it does on the first `rows` held-out examples, which no step ever sees; the same ones every time."""

    def settle(self) -> None:  # noqa: B027 - most have nothing to do
        """After the last step and before the last judgement: what is fitted once, such as a calibration."""

    def facts(self) -> Mapping[str, Any]:
        """Whatever else the checkpoint must say to be used without the runs that it stands on; JSON."""
        return {}

    def memory(self) -> Mapping[str, Tensor]:
        """Whatever a later step depends on besides weights; saved with every checkpoint."""
        return {}

    def recall(self, held: Mapping[str, Tensor]) -> None:  # noqa: B027 - most remember nothing
        """Take back what `memory` gave."""


@dataclass(frozen=True)
class Count:
    """Where the training of a module stands: batches are functions of the step, so the step is all."""

    step: int


class ModuleWork:
    """An objective as the work of a training loop."""

    unit = "rows"
    group: Group = ALONE

    def __init__(self, objective: Objective, settings: ModuleSettings):
        self.objective, self.settings = objective, settings
        self._judged: dict[str, Any] | None = None

    @property
    def module(self) -> nn.Module:
        return self.objective.module

    def parameters(self) -> dict[str, Parameter]:
        return trainable(self.module)

    def roles(self) -> Mapping[str, Role]:
        moved = trainable(self.module)
        return {name: role for name, role in roles(self.module).items() if name in moved}

    def components(self) -> Mapping[str, str]:
        moved = trainable(self.module)
        return {name: component for name, component in components(self.module).items() if name in moved}

    def ready(self) -> None:
        self.module.train()

    def begin(self) -> Count:
        return Count(0)

    def amount(self, step: int) -> int:
        return self.settings.rows

    def total(self, progress: Count) -> int:
        return progress.step * self.settings.rows

    def take(self, step: int, progress: Count, *, looks: bool) -> Done[Count]:
        losses = self.objective.losses(step)
        losses.total.backward()
        value = float(losses.total.detach())
        return Done(value, value, Count(step), losses.figures)

    def look(self, before: Count, done: Done[Count], *, looks: bool) -> Look:
        return Look()

    def score(self, *, whole: bool) -> tuple[Judgement, bool]:
        asked = self.settings.evaluation
        was_training = self.module.training
        self.module.eval()
        if whole:
            self.objective.settle()
        found = self.objective.judge(asked.rows_at_end if whole else asked.rows)
        self.module.train(was_training)
        self._judged = found.as_record() if whole else None
        return found, whole

    def save(self, checkpoints: Checkpoints, progress: Count, optimizer: Optimizer, facts: Mapping[str, Any]) -> Path:
        groups = {WEIGHTS: weights(self.module), "optimizer": optimizer.state(), RANDOM: random_streams(self.group)}
        if memory := self.objective.memory():
            groups[MEMORY] = dict(memory)
        judged = {} if self._judged is None else {"judged": self._judged}
        return checkpoints.save(progress.step, groups, {**self.objective.facts(), **judged, **facts})

    def load(self, path: Path, optimizer: Optimizer, facts: Mapping[str, Any]) -> Count:
        held = sealed.read(path, sealed.groups(sealed.manifest(path)))
        load_weights(self.module, held[WEIGHTS], str(path))
        optimizer.load(held["optimizer"])
        self.objective.recall(held.get(MEMORY, {}))
        return Count(facts["step"])
