"""Training a language model on packed text, its recurrent state handed from step to step.

Rows are parallel streams of text; each goes on where it stopped in the step before, and so does its state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch.nn import Parameter

from think.core.data.batches import Tracks
from think.core.data.store import Split
from think.core.device import Machine
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import Group
from think.core.training.anomalies import AnomalySettings
from think.core.training.checkpoint import Checkpoints
from think.core.training.evaluate import EvaluationSettings, Score
from think.core.training.gradients import start_state_norm
from think.core.training.health import Gates, Health, Predictions, TelemetrySettings, state_health
from think.core.training.loop import LoopSettings, trainable
from think.core.training.optimizer import Optimizer, Role
from think.core.training.parallel import Layout, lay_out
from think.core.training.schedule import Clock, CurriculumStage, clock
from think.core.training.step import Outcome, Precision, accumulate_gradients
from think.core.training.work import Done, Look
from think.presets.base import knob


class LanguageSettings(LoopSettings):
    """What the training of a language model needs to be told."""

    in_order: ClassVar = (
        "steps",
        "rows",
        "length",
        "curriculum",
        "seed",
        "reset_period",
        "micro_batches",
        "precision",
        "learning_rate",
        "max_gradient_norm",
        "entropy_bonus",
        "optimizer",
        "schedule",
        "evaluation",
        "checkpoint",
        "telemetry",
        "anomalies",
    )

    rows: PositiveInt = knob(acts_on="data")
    "parallel streams of text, the batch; each goes on where it stopped in the step before"
    length: PositiveInt = knob(acts_on="data")
    "tokens per row and step, until the curriculum says otherwise"
    curriculum: tuple[CurriculumStage, ...] = knob((), acts_on="schedule")
    "other sequence lengths, each from a later share of the steps on; rows never change"
    reset_period: PositiveInt | None = knob(None, acts_on="data")
    "tokens per row after which the state is reset besides at document starts; never when absent"
    micro_batches: PositiveInt = knob(1, acts_on="optimizer")
    "parts that the rows of a step are split in, one after the other; saves memory"
    precision: Precision = knob("float32", acts_on="optimizer")
    "type of matrix products; weights, gradients and losses are float32 either way"
    entropy_bonus: NonNegativeFloat = knob(0.0, acts_on="optimizer")
    "nats of loss taken off per nat of entropy of the predictions"
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    "held-out loss while training"
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    "what is written how often"
    anomalies: AnomalySettings = Field(default_factory=AnomalySettings)
    "what counts as going wrong"

    @model_validator(mode="after")
    def _fits(self) -> "LanguageSettings":
        if self.rows % self.micro_batches:
            parts = [count for count in range(1, self.rows + 1) if self.rows % count == 0]
            nearest = min(parts, key=lambda count: abs(count - self.micro_batches))
            raise ValueError(f"micro_batches = {self.micro_batches} must divide rows = {self.rows}; nearest: {nearest}")
        shares = [stage.from_share for stage in self.curriculum]
        if shares != sorted(set(shares)):
            raise ValueError(f"curriculum: from_share must rise from stage to stage, not {shares}")
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
    """Where the training of a language model stands.

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


class Language:
    """A language model as the work of a training loop. tracks: this process's rows of the training text."""

    unit = "tokens"

    def __init__(
        self,
        model: Thinking,
        settings: LanguageSettings,
        machine: Machine,
        group: Group,
        tracks: Tracks,
        held_out: Split,
    ):
        self.settings, self.machine, self.tracks, self.held_out = settings, machine, tracks, held_out
        self._roles = model.roles()
        self.layout = lay_out(model, machine, group)
        self._parameters = trainable(self.layout.model)
        self._clock = settings.clock()
        self._predictions: Predictions | None = None
        self._saturated: Mapping[tuple[int, str], float] = {}

    @property
    def model(self) -> Thinking:
        return self.layout.model

    @property
    def group(self) -> Group:
        return self.layout.group

    def parameters(self) -> dict[str, Parameter]:
        return self._parameters

    def roles(self) -> Mapping[str, Role]:
        return self._roles

    def components(self) -> Mapping[str, str]:
        return self.model.components()

    def ready(self) -> None:
        self.model.train()

    def begin(self) -> Progress:
        """Every stream at its trained start state."""
        return Progress(0, 0, self.layout.start(self.settings.rows))

    def amount(self, step: int) -> int:
        return self.settings.rows * self._clock.length(step)

    def total(self, progress: Progress) -> int:
        return progress.tokens

    def take(self, step: int, progress: Progress, *, looks: bool) -> Done[Progress]:
        settings, layout = self.settings, self.layout
        now = self._clock.moved_to(progress.step, progress.position)
        length = now.length(step)
        batch = self.tracks.at(now.position(step), length).to(self.machine.torch_device)
        with Gates(self.model, settings.telemetry.saturation, listens=looks and self.machine.compile is None) as gates:
            outcome = accumulate_gradients(
                layout.forward,
                batch,
                progress.state,
                micro_batches=settings.micro_batches,
                entropy_bonus=settings.entropy_bonus,
                precision=settings.precision,
                look=layout.logits if looks else None,
                group=self.group,
                adding=layout.adding,
            )
        layout.settle_gradients(self._parameters)
        start_norm = start_state_norm(self._parameters, self.group)
        self._predictions, self._saturated = outcome.predictions, gates.shares(self.group) if looks else {}
        after = progress.after(outcome, length, start_norm)
        figures: dict[str, float | int | None] = {"length": length}
        if outcome.entropy is not None:
            figures["entropy"] = outcome.entropy
        if start_norm is not None:
            figures |= {"h0_gradient": start_norm, "h0_share": after.moved / step}
        return Done(outcome.loss, outcome.objective, after, figures)

    def look(self, before: Progress, done: Done[Progress], *, looks: bool) -> Look:
        health = health_of(self.layout, before.state, done.progress.state) if looks else []
        return Look(self._predictions, health, self._saturated, done.progress.position - before.position)

    def score(self, *, whole: bool) -> tuple[Score, bool]:
        asked = self.settings.evaluation
        tokens = None if whole else asked.tokens
        return self.layout.score(self.held_out, asked.rows, self.settings.longest, tokens), tokens is None

    def save(
        self, checkpoints: Checkpoints, progress: Progress, optimizer: Optimizer, facts: Mapping[str, Any]
    ) -> Path:
        own = {
            "position": progress.position,
            "state_position": progress.state.position,
            "tokens": progress.tokens,
            "moved": progress.moved,
        }
        return self.layout.save(checkpoints, progress.step, optimizer, progress.state, {**own, **facts})

    def load(self, path: Path, optimizer: Optimizer, facts: Mapping[str, Any]) -> Progress:
        state = self.layout.load(path, optimizer, facts["state_position"], self.machine.torch_device)
        return Progress(facts["step"], facts["position"], state, facts["tokens"], facts["moved"])


def health_of(layout: Layout, before: State, after: State) -> list[Health]:
    """Health of the states of all rows, at the first process; nothing at the others."""
    entered, left = layout.gather(before), layout.gather(after)
    return list(state_health(entered, left)) if layout.group.first else []
