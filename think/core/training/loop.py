"""The training loop, and what it takes to go on exactly where it stopped.

Everything that a later step depends on is in `Progress`, the model, the optimizer and torch's generators; a checkpoint
holds these and nothing else. What depends on the step alone (rate, length, order of the data) is in the clock and the
tracks, which are pure functions.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from think.core import seeding
from think.core.data.batches import Tracks
from think.core.data.store import Split
from think.core.device import Machine
from think.core.errors import Diverged
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import Group
from think.core.training import sealed
from think.core.training.anomalies import AnomalySettings
from think.core.training.checkpoint import Checkpoints
from think.core.training.evaluate import EvaluationSettings, Score
from think.core.training.gradients import clip_gradients, component_norms, start_state_norm
from think.core.training.health import Gates, Health, TelemetrySettings, state_health
from think.core.training.ledger import Ledger, StepFacts
from think.core.training.optimizer import AdamWSettings, Optimizer, OptimizerSettings
from think.core.training.parallel import RANDOM, Layout, restore_random
from think.core.training.schedule import Clock, CurriculumStage, ScheduleSettings, WsdSettings, clock
from think.core.training.step import Outcome, Precision, accumulate_gradients
from think.core.training.stop import Stop, stopped
from think.presets.base import Settings, knob

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class CheckpointSettings(Settings):
    """When a run saves itself, besides at its end and when it is stopped."""

    every: PositiveInt | None = knob(500, acts_on="cadence", may_change_on_resume=True)
    "steps from one checkpoint to the next; only at the end, or when stopped, when absent"
    keep: PositiveInt = knob(2, acts_on="cadence", may_change_on_resume=True)
    "checkpoints that remain; the oldest go first"


class LoopSettings(Settings):
    """What every training run needs to be told."""

    steps: PositiveInt = knob(acts_on="schedule", may_change_on_resume=True)
    "optimizer steps"
    rows: PositiveInt = knob(acts_on="data")
    "parallel streams of text, the batch; each goes on where it stopped in the step before"
    length: PositiveInt = knob(acts_on="data")
    "tokens per row and step, until the curriculum says otherwise"
    curriculum: tuple[CurriculumStage, ...] = knob((), acts_on="schedule")
    "other sequence lengths, each from a later share of the steps on; rows never change"
    seed: Seed = knob(0, acts_on="data")
    "seed of initialisation, order of the data and dropout"
    reset_period: PositiveInt | None = knob(None, acts_on="data")
    "tokens per row after which the state is reset besides at document starts; never when absent"
    micro_batches: PositiveInt = knob(1, acts_on="optimizer")
    "parts that the rows of a step are split in, one after the other; saves memory"
    precision: Precision = knob("float32", acts_on="optimizer")
    "type of matrix products; weights, gradients and losses are float32 either way"
    learning_rate: PositiveFloat = knob(acts_on="schedule")
    "learning rate at the top of the schedule"
    max_gradient_norm: PositiveFloat | None = knob(1.0, acts_on="optimizer")
    "joint norm of all gradients above which they are scaled down; never when absent"
    entropy_bonus: NonNegativeFloat = knob(0.0, acts_on="optimizer")
    "nats of loss taken off per nat of entropy of the predictions"
    optimizer: OptimizerSettings = Field(default_factory=AdamWSettings)
    "rule that moves the weights"
    schedule: ScheduleSettings = Field(default_factory=WsdSettings)
    "learning rate over the steps"
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    "held-out loss while training"
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings)
    "checkpoints while training"
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    "what is written how often"
    anomalies: AnomalySettings = Field(default_factory=AnomalySettings)
    "what counts as going wrong"

    @model_validator(mode="after")
    def _fits(self) -> "LoopSettings":
        if self.rows % self.micro_batches:
            parts = [count for count in range(1, self.rows + 1) if self.rows % count == 0]
            nearest = min(parts, key=lambda count: abs(count - self.micro_batches))
            raise ValueError(f"micro_batches = {self.micro_batches} must divide rows = {self.rows}; nearest: {nearest}")
        shares = [stage.from_share for stage in self.curriculum]
        if shares != sorted(set(shares)):
            raise ValueError(f"curriculum: from_share must rise from stage to stage, not {shares}")
        if self.schedule.warmup > self.steps:
            raise ValueError(f"schedule.warmup = {self.schedule.warmup} is longer than steps = {self.steps}")
        return self

    def clock(self) -> Clock:
        """Rates, lengths and positions of every step."""
        return clock(self.schedule, self.steps, self.length, self.curriculum)

    @property
    def longest(self) -> int:
        """The greatest length of any step."""
        return max([self.length, *(stage.length for stage in self.curriculum)])


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    step      updates done
    position  tokens that each row has consumed; the whole cursor of the data
    state     what the next step receives
    tokens    scored tokens so far
    moved     steps in which a trained start state got gradient
    """

    step: int
    position: int
    state: State
    tokens: int = 0
    moved: int = 0

    def after(self, outcome: Outcome, length: int, start_norm: float | None) -> "Progress":
        return Progress(
            step=self.step + 1,
            position=self.position + length,
            state=outcome.state,
            tokens=self.tokens + outcome.tokens,
            moved=self.moved + (start_norm is not None and start_norm > 0),
        )


@dataclass(frozen=True)
class Run:
    """Everything that a loop works with."""

    settings: LoopSettings
    machine: Machine
    clock: Clock
    layout: Layout
    "the model, and how the processes of the run hold it"
    optimizer: Optimizer
    tracks: Tracks
    "this process's rows of the training text"
    held_out: Split
    checkpoints: Checkpoints
    ledger: Ledger
    stop: Stop
    identity: dict[str, Any]
    "digests and other facts that a checkpoint carries besides progress"
    where: str
    "the run, as a user would name it"

    @property
    def model(self) -> Thinking:
        return self.layout.model

    @property
    def group(self) -> Group:
        return self.layout.group


@dataclass(frozen=True)
class Seen:
    """What a watcher of the loop hears after each step."""

    step: int
    steps: int
    loss: float | None
    held_out: float | None
    tokens_per_second: float


Watcher = Callable[[Seen], None]


def train(run: Run, progress: Progress, watcher: Watcher) -> tuple[Progress, Score | None]:
    """Take the remaining steps; gives where it ended, and the loss on the whole held-out split (None: nothing to do).

    Every process of the run is in here, at the same step; what is written and said comes from the first one.
    Raises Diverged at a loss or gradient that is not finite, Interrupted or Terminated after a checkpoint.
    """
    settings, model, layout, group = run.settings, run.model, run.layout, run.group
    parameters = trainable(model)
    components = model.components()
    clock = run.clock.moved_to(progress.step, progress.position)
    score: Score | None = None
    model.train()
    for step in clock.remaining(progress.step):
        began = time.perf_counter()
        length, rate = clock.length(step), settings.learning_rate * clock.factor(step)
        batch = run.tracks.at(clock.position(step), length).to(run.machine.torch_device)
        look = run.ledger.wants_health(step)
        with Gates(model, settings.telemetry.saturation, listens=look and run.machine.compile is None) as gates:
            outcome = accumulate_gradients(
                layout.forward,
                batch,
                progress.state,
                micro_batches=settings.micro_batches,
                entropy_bonus=settings.entropy_bonus,
                precision=settings.precision,
                look=layout.logits if look else None,
                group=group,
                adding=layout.adding,
            )
        layout.settle_gradients(parameters)
        norms = component_norms(parameters, components, group) if run.ledger.wants_gradients(step) else None
        start_norm = start_state_norm(parameters, group)
        gradient_norm = clip_gradients(parameters.values(), settings.max_gradient_norm, group)
        require_finite(run, step, outcome, gradient_norm)
        run.optimizer.step(clock.factor(step))
        run.optimizer.zero_grad()
        before, progress = progress, progress.after(outcome, length, start_norm)
        facts = StepFacts(
            step=step,
            outcome=outcome,
            gradient_norm=gradient_norm,
            learning_rate=rate,
            length=length,
            read=settings.rows * length,
            tokens=progress.tokens,
            seconds=time.perf_counter() - began,
            start_state_norm=start_norm,
            start_state_share=progress.moved / step,
            norms=norms,
            health=health_of(layout, before.state, progress.state) if look else (),
            saturated=gates.shares(group) if look else {},
        )
        if group.first:
            run.ledger.step(facts)
        last = step == clock.steps
        if last or _due(step, settings.evaluation.every):
            score = hold_out(run, step, whole=last)
        # Read once: a signal that comes during the save is obeyed after the next step. The anomaly rules speak in the
        # first process alone, and all must know what detail they want.
        asked, run.ledger.watch.detail_until = group.greatest([run.stop.asked or 0, run.ledger.watch.detail_until])
        leaving = asked or None
        if last or _due(step, settings.checkpoint.every) or leaving is not None:
            save(run, progress)
        watcher(Seen(step, clock.steps, outcome.loss, score.loss if score else None, facts.read / facts.seconds))
        if leaving is not None and not last:
            raise group.common(stopped(leaving, step, run.where))
    return progress, score


def begin(run: Run) -> Progress:
    """The start of a run: no step done, every stream at its trained start state."""
    return Progress(0, 0, run.layout.start(run.settings.rows))


def resume(run: Run, path: Path) -> Progress:
    """Put model, optimizer, generators and anomaly rules where a verified checkpoint left them; says where that is.

    Any number of processes may go on with what any other number saved.
    """
    facts = sealed.facts(path)
    state = run.layout.load(path, run.optimizer, facts["state_position"], run.machine.torch_device)
    run.ledger.watch.load(facts["watch"])
    fresh = (run.settings.seed, "dropout", run.group.rank, facts["step"])
    restore_random(sealed.read(path, (RANDOM,))[RANDOM], run.group, fresh)
    return Progress(facts["step"], facts["position"], state, facts["tokens"], facts["moved"])


def save(run: Run, progress: Progress) -> Path:
    """Write one checkpoint and the record of it."""
    began = time.perf_counter()
    facts = {
        "step": progress.step,
        "position": progress.position,
        "state_position": progress.state.position,
        "tokens": progress.tokens,
        "moved": progress.moved,
        "watch": run.ledger.watch.as_json(),
        "processes": run.group.size,
        **run.identity,
    }
    path = run.layout.save(run.checkpoints, progress.step, run.optimizer, progress.state, facts)
    if run.group.first:
        run.ledger.checkpoint(progress.step, path, time.perf_counter() - began)
    return path


def hold_out(run: Run, step: int, *, whole: bool) -> Score:
    """Held-out loss now, without moving a random stream; `whole` reads all of the split."""
    began = time.perf_counter()
    asked = run.settings.evaluation
    with seeding.untouched():
        score = run.layout.score(run.held_out, asked.rows, run.settings.longest, None if whole else asked.tokens)
    if run.group.first:
        run.ledger.evaluation(step, score, time.perf_counter() - began, whole=whole or asked.tokens is None)
    return score


def health_of(layout: Layout, before: State, after: State) -> list[Health]:
    """Health of the states of all rows, at the first process; nothing at the others."""
    entered, left = layout.gather(before), layout.gather(after)
    return list(state_health(entered, left)) if layout.group.first else []


def require_finite(run: Run, step: int, outcome: Outcome, gradient_norm: float) -> None:
    """Raises Diverged when loss or gradient norm is not finite; the weights are then still those of the step before."""
    for name, value in (("loss", outcome.objective), ("gradient norm", gradient_norm)):
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
                    "a lower stage1.learning_rate or stage1.max_gradient_norm may help"
                    if good
                    else "no checkpoint was written yet; a lower stage1.learning_rate or a longer warm-up may help"
                ),
            )
        )


def trainable(model: Thinking) -> dict[str, torch.nn.Parameter]:
    """Parameters that training moves, by name; a tied one once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
