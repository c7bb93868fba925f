"""What the loop is given to do: one object that knows what is trained, on what, and how it is judged.

The loop knows steps, rates, clipping, records and checkpoints. A language model on text is one work (language.py), a
module on generated batches another (modules.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch.nn import Parameter

from think.core.processes import Group
from think.core.training.checkpoint import Checkpoints
from think.core.training.health import Health, Predictions
from think.core.training.optimizer import Optimizer, Role


class Stepped(Protocol):
    """Where a run stands: whatever the work needs for its next step, and how many steps are done."""

    @property
    def step(self) -> int: ...


class Scored(Protocol):
    """What held-out data said."""

    @property
    def loss(self) -> float: ...

    def as_record(self) -> dict[str, Any]:
        """The loss, what it counts, and whatever else belongs into the record of an evaluation, by name."""
        ...


P = TypeVar("P", bound=Stepped)


@dataclass(frozen=True)
class Done(Generic[P]):
    """What the backward pass of a step found; the gradients lie on the parameters.

    loss       what the record shows; None when nothing of the batch counts
    objective  what was differentiated
    progress   where the run stands once the weights have moved
    figures    further numbers for the record of the step, by name
    """

    loss: float | None
    objective: float
    progress: P
    figures: Mapping[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What was seen inside of what is trained. length: tokens per row, which levels depend on; 0 without tokens."""

    predictions: Predictions | None = None
    health: Sequence[Health] = ()
    saturated: Mapping[tuple[int, str], float] = field(default_factory=dict)
    length: int = 0


class Work(Protocol[P]):
    """What is trained, on what, and how it is judged.

    unit   what is counted, in the plural, as records name it: "tokens", "rows"
    """

    @property
    def unit(self) -> str: ...

    @property
    def group(self) -> Group:
        """The processes of the run."""
        ...

    def parameters(self) -> Mapping[str, Parameter]:
        """What the optimizer moves, by name."""
        ...

    def roles(self) -> Mapping[str, Role]:
        """The role of each of them."""
        ...

    def components(self) -> Mapping[str, str]:
        """The part of the whole that each of them belongs to, for the record of gradients."""
        ...

    def ready(self) -> None:
        """Called once, before the first step."""
        ...

    def begin(self) -> P:
        """No step done."""
        ...

    def amount(self, step: int) -> int:
        """How much of `unit` a step reads."""
        ...

    def total(self, progress: P) -> int:
        """How much of it has counted since the start of the run."""
        ...

    def take(self, step: int, progress: P, *, looks: bool) -> Done[P]:
        """Forward and backward pass of one step. looks: `look` will be asked what was seen."""
        ...

    def look(self, before: P, done: Done[P], *, looks: bool) -> Look:
        """What there is to see of a step, after the weights have moved."""
        ...

    def score(self, *, whole: bool) -> tuple[Scored, bool]:
        """How it does on held-out data, without moving a random stream; and whether all of them were used."""
        ...

    def save(self, checkpoints: Checkpoints, progress: P, optimizer: Optimizer, facts: Mapping[str, Any]) -> Path:
        """Save a checkpoint with these facts and its own; called by all processes."""
        ...

    def load(self, path: Path, optimizer: Optimizer, facts: Mapping[str, Any]) -> P:
        """Take back what `save` has saved, random streams excepted."""
        ...
