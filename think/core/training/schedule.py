"""Learning rate and sequence length as functions of the step alone.

A schedule gives, for the steps 1 to N, a factor in [0, 1] that multiplies the peak rate of every parameter group. The
curriculum gives the length of each step; the rows never change, so the tokens that a row has consumed before a step are
a pure function of that step too, and a resumed run needs no loader state.

    linear rise     factor = step / warmup
    warmup-stable   1, then over the last `fall` of the steps linearly down towards `floor`
    cosine          floor + (1 - floor) (1 + cos(pi p)) / 2,   p from 0 at the end of the rise

Both reach their floor one step after the last, so that no update is spent at a rate of zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveInt

from think.presets.base import Fraction, Settings, knob

InnerFraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class WsdSettings(Settings):
    """Linear rise, flat, linear fall: a checkpoint from the flat part can be branched to any horizon."""

    kind: Literal["wsd"] = "wsd"
    warmup: NonNegativeInt = knob(0, acts_on="schedule")
    "optimizer steps of linear rise"
    fall: Fraction = knob(0.2, acts_on="schedule")
    "share of all steps spent falling to `floor`"
    floor: Fraction = knob(0.0, acts_on="schedule")
    "final rate, as a share of the peak"


class CosineSettings(Settings):
    """Linear rise, then half a cosine; the horizon is baked in."""

    kind: Literal["cosine"] = "cosine"
    warmup: NonNegativeInt = knob(0, acts_on="schedule")
    "optimizer steps of linear rise"
    floor: Fraction = knob(0.1, acts_on="schedule")
    "final rate, as a share of the peak"


ScheduleSettings = Annotated[WsdSettings | CosineSettings, Field(discriminator="kind")]


class CurriculumStage(Settings):
    """From a point of the run on, another sequence length."""

    from_share: InnerFraction = knob(acts_on="schedule")
    "share of all steps after which this length holds"
    length: PositiveInt = knob(acts_on="schedule")
    "tokens per row and step"


def factor(settings: WsdSettings | CosineSettings, step: int, steps: int) -> float:
    """Share of the peak rate at `step`, 1 to `steps`."""
    if step < settings.warmup:
        return step / settings.warmup
    if settings.kind == "cosine":
        progress = (step - settings.warmup) / (steps + 1 - settings.warmup)
        return settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * progress)) / 2
    falling, left = round(settings.fall * steps), steps + 1 - step
    return 1.0 if left > falling else settings.floor + (1 - settings.floor) * left / (falling + 1)


class Span(NamedTuple):
    """Steps of one length: the first of them, counted from 1; their length; where each row stands before the first."""

    first: int
    length: int
    position: int


@dataclass(frozen=True)
class Clock:
    """Everything that depends on the step alone. Steps count from 1; a million of them cost no more than ten."""

    schedule: WsdSettings | CosineSettings
    steps: int
    spans: tuple[Span, ...]

    def factor(self, step: int) -> float:
        """Share of the peak rate at `step`."""
        return factor(self.schedule, step, self.steps)

    def length(self, step: int) -> int:
        """Tokens per row of `step`."""
        return self._span(step).length

    def position(self, step: int) -> int:
        """Tokens that each row has consumed before `step`; one step after the last it is all of them."""
        span = self._span(step)
        return span.position + (step - span.first) * span.length

    @property
    def tokens_per_row(self) -> int:
        return self.position(self.steps + 1)

    @property
    def table(self) -> tuple[tuple[float, int, int], ...]:
        """Factor, length and position of every step."""
        return tuple((self.factor(s), self.length(s), self.position(s)) for s in range(1, self.steps + 1))

    def moved_to(self, step: int, position: int) -> "Clock":
        """The same clock where `step` steps consumed `position` tokens per row.

        It changes nothing unless the resumed run was given another number of steps, which moves its curriculum.
        """
        shift = position - self.position(step + 1)
        return replace(self, spans=tuple(span._replace(position=span.position + shift) for span in self.spans))

    def remaining(self, after: int) -> range:
        """Steps still to do when `after` are done."""
        return range(after + 1, self.steps + 1)

    def _span(self, step: int) -> Span:
        return next(span for span in reversed(self.spans) if span.first <= step)


def clock(
    settings: WsdSettings | CosineSettings, steps: int, length: int, curriculum: Sequence[CurriculumStage]
) -> Clock:
    """The clock of a run. A stage whose first step is the next one's, or lies past the end, never comes up."""
    spans = [Span(1, length, 0)]
    for stage in curriculum:
        first, last = round(stage.from_share * steps) + 1, spans[-1]
        begun = Span(first, stage.length, last.position + (first - last.first) * last.length)
        if first == last.first:
            spans[-1] = begun
        elif first <= steps:
            spans.append(begun)
    return Clock(settings, steps, tuple(spans))
