"""The training loop, and what it takes to go on exactly where it stopped.

It knows steps, rates, clipping, records and checkpoints. What a step computes is the business of a `Work`: a language
model on text, or a module on generated batches. Everything that a later step depends on is in the progress that the
work hands from step to step, the weights, the optimizer and torch's generators; a checkpoint holds these and nothing
else. What depends on the step alone (rate, order of the data) is a pure function of it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from think.core import seeding
from think.core.errors import Diverged
from think.core.processes import Group
from think.core.training import sealed
from think.core.training.anomalies import WatchSettings
from think.core.training.cadence import CheckpointSettings, EvaluationCadence, RecordSettings, due
from think.core.training.checkpoint import Checkpoints
from think.core.training.gradients import clip_gradients, component_norms
from think.core.training.ledger import Ledger, StepFacts
from think.core.training.optimizer import AdamWSettings, Optimizer, OptimizerSettings
from think.core.training.parallel import RANDOM, restore_random
from think.core.training.schedule import Clock, ScheduleSettings, WsdSettings, clock
from think.core.training.stop import Stop, stopped
from think.core.training.work import P, Scored, Work
from think.presets.base import Settings, knob

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class LoopSettings(Settings):
    """What every training run needs to be told."""

    steps: PositiveInt = knob(acts_on="schedule", may_change_on_resume=True)
    "optimizer steps"
    rows: PositiveInt = knob(acts_on="data")
    "examples of a step, the batch"
    seed: Seed = knob(0, acts_on="data")
    "seed of initialisation, order of the data and dropout"
    learning_rate: PositiveFloat = knob(acts_on="schedule")
    "learning rate at the top of the schedule"
    max_gradient_norm: PositiveFloat | None = knob(1.0, acts_on="optimizer")
    "joint norm of all gradients above which they are scaled down; never when absent"
    optimizer: OptimizerSettings = Field(default_factory=AdamWSettings)
    "rule that moves the weights"
    schedule: ScheduleSettings = Field(default_factory=WsdSettings)
    "learning rate over the steps"
    evaluation: EvaluationCadence = Field(default_factory=EvaluationCadence)
    "held-out loss while training"
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    "checkpoints while training"
    telemetry: RecordSettings = Field(default_factory=RecordSettings)
    "what is written how often"
    anomalies: WatchSettings = Field(default_factory=WatchSettings)
    "what counts as going wrong"

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "LoopSettings":
        if self.schedule.warmup > self.steps:
            raise ValueError(f"schedule.warmup = {self.schedule.warmup} is longer than steps = {self.steps}")
        return self

    def clock(self) -> Clock:
        """Rates of every step, and whatever else depends on the step alone."""
        return clock(self.schedule, self.steps, 1, ())


@dataclass(frozen=True)
class Run(Generic[P]):
    """Everything that a loop works with."""

    settings: LoopSettings
    stage: str
    "the section of the settings, for messages"
    clock: Clock
    work: Work[P]
    optimizer: Optimizer
    checkpoints: Checkpoints
    ledger: Ledger
    stop: Stop
    identity: dict[str, Any]
    "digests and other facts that a checkpoint carries besides progress"
    where: str
    "the run, as a user would name it"

    @property
    def group(self) -> Group:
        return self.work.group


@dataclass(frozen=True)
class Seen:
    """What a watcher of the loop hears after each step. speed: of `unit` per second."""

    step: int
    steps: int
    loss: float | None
    held_out: float | None
    speed: float
    unit: str


Watcher = Callable[[Seen], None]


def train(run: Run[P], progress: P, watcher: Watcher) -> tuple[P, Scored | None]:
    """Take the remaining steps; gives where it ended, and the loss on all held-out data (None: nothing to do).

    Every process of the run is in here, at the same step; what is written and said comes from the first one.
    Raises Diverged at a loss or gradient that is not finite, Interrupted or Terminated after a checkpoint.
    """
    settings, work, group, clock = run.settings, run.work, run.group, run.clock
    parameters = work.parameters()
    components = work.components()
    score: Scored | None = None
    work.ready()
    for step in clock.remaining(progress.step):
        began = time.perf_counter()
        rate = settings.learning_rate * clock.factor(step)
        looks = run.ledger.wants_look(step)
        done = work.take(step, progress, looks=looks)
        norms = component_norms(parameters, components, group) if run.ledger.wants_gradients(step) else None
        gradient_norm = clip_gradients(parameters.values(), settings.max_gradient_norm, group)
        require_finite(run, step, done.objective, gradient_norm)
        run.optimizer.step(clock.factor(step))
        run.optimizer.zero_grad()
        before, progress = progress, done.progress
        seconds = time.perf_counter() - began
        facts = StepFacts(
            step=step,
            done=done,
            unit=work.unit,
            read=work.amount(step),
            total=work.total(progress),
            gradient_norm=gradient_norm,
            learning_rate=rate,
            seconds=seconds,
            norms=norms,
            look=work.look(before, done, looks=looks),
        )
        if group.first:
            run.ledger.step(facts)
        last = step == clock.steps
        if last or due(step, settings.evaluation.every):
            score = hold_out(run, step, whole=last)
        # Read once: a signal that comes during the save is obeyed after the next step. The anomaly rules speak in the
        # first process alone, and all must know what detail they want.
        asked, run.ledger.watch.detail_until = group.greatest([run.stop.asked or 0, run.ledger.watch.detail_until])
        leaving = asked or None
        if last or due(step, settings.checkpoint.every) or leaving is not None:
            save(run, progress)
        watcher(Seen(step, clock.steps, done.loss, score.loss if score else None, facts.read / seconds, work.unit))
        if leaving is not None and not last:
            raise group.common(stopped(leaving, step, run.where))
    return progress, score


def begin(run: Run[P]) -> P:
    """The start of a run: no step done."""
    return run.work.begin()


def resume(run: Run[P], path: Path) -> P:
    """Put weights, optimizer, generators and anomaly rules where a verified checkpoint left them; says where that is.

    Any number of processes may go on with what any other number saved.
    """
    facts = sealed.facts(path)
    progress = run.work.load(path, run.optimizer, facts)
    run.ledger.watch.load(facts["watch"])
    fresh = (run.settings.seed, "dropout", run.group.rank, facts["step"])
    restore_random(sealed.read(path, (RANDOM,))[RANDOM], run.group, fresh)
    return progress


def save(run: Run[P], progress: P) -> Path:
    """Write one checkpoint and the record of it."""
    began = time.perf_counter()
    facts = {
        "step": progress.step,
        "watch": run.ledger.watch.as_json(),
        "processes": run.group.size,
        **run.identity,
    }
    path = run.work.save(run.checkpoints, progress, run.optimizer, facts)
    if run.group.first:
        run.ledger.checkpoint(progress.step, path, time.perf_counter() - began)
    return path


def hold_out(run: Run[P], step: int, *, whole: bool) -> Scored:
    """Held-out loss now, without moving a random stream; `whole` uses all that is held out."""
    began = time.perf_counter()
    with seeding.untouched():
        score, all_of_it = run.work.score(whole=whole)
    if run.group.first:
        run.ledger.evaluation(step, score, time.perf_counter() - began, whole=all_of_it)
    return score


def require_finite(run: Run[P], step: int, objective: float, gradient_norm: float) -> None:
    """Raises Diverged when loss or gradient norm is not finite; the weights are then still those of the step before."""
    for name, value in (("loss", objective), ("gradient norm", gradient_norm)):
        if math.isfinite(value):
            continue
        good = run.checkpoints.latest()
        raise run.group.common(
            Diverged(
                f"the {name} of step {step} is {value}",
                where=run.where,
                expected="a finite number",
                remedy=(
                    f"the last good checkpoint is {good}; "
                    f"a lower {run.stage}.learning_rate or {run.stage}.max_gradient_norm may help"
                    if good
                    else "no checkpoint was written yet; "
                    f"a lower {run.stage}.learning_rate or a longer warm-up may help"
                ),
            )
        )


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters that training moves, by name; a tied one once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
