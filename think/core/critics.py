"""Runs whose critic judges: of stage 3, beside the model that it was trained on, or of stage 4, which holds both.

    judge = critic_run(RunFolder.open(runs, "judges"))
    thinker = think.load(judge.model)
    critic, dynamics = judge.critic(thinker), judge.dynamics(thinker)

A critic is worth something beside the weights that it was trained on. So each kind of run says which model it goes
with, and refuses any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from think.core.assembled import Assembled, load
from think.core.deliberator import Deliberator, critic_of, dynamics_of, held_by, trained_beside
from think.core.errors import BadSettings
from think.core.planning.critic import Critic
from think.core.planning.dynamics import Dynamics
from think.core.planning.fusion import Fusion
from think.core.predecessors import newest_checkpoint, read
from think.core.runs import RunFolder
from think.core.training.predecessor import Predecessor
from think.core.training.sealed import facts
from think.core.training.stages.stage4 import Stage4Settings


class CriticRun(Protocol):
    """A run that has a critic.

    run    its name
    path   its checkpoint
    model  the checkpoint of the model that it goes with

    Every method takes the model that is to be asked, and raises BadSettings for one that the critic does not go with.
    """

    @property
    def run(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def model(self) -> Path: ...
    def critic(self, thinker: Assembled) -> Critic:
        """The critic, of which nothing learns."""
        ...

    def dynamics(self, thinker: Assembled) -> tuple[Dynamics, str]:
        """The dynamics, and the name of the run that they come from. Raises BadSettings where there are none."""
        ...

    def fusion(self, thinker: Assembled) -> Fusion:
        """The weights of the layers in the policy. Raises BadSettings where nobody has learned them."""
        ...

    def beside(self, thinker: Assembled) -> Deliberator:
        """All that deliberates beside a text of the model."""
        ...


@dataclass(frozen=True)
class Trained:
    """A run of stage 3: its critic, and the dynamics that it stands on."""

    found: Predecessor

    @property
    def run(self) -> str:
        return self.found.run

    @property
    def path(self) -> Path:
        return self.found.path

    @property
    def model(self) -> Path:
        return self.found.of("stage1").path

    def critic(self, thinker: Assembled) -> Critic:
        return critic_of(self.found, thinker)

    def dynamics(self, thinker: Assembled) -> tuple[Dynamics, str]:
        dynamics, below = dynamics_of(self.found, thinker)
        return dynamics, below.run

    def fusion(self, thinker: Assembled) -> Fusion:
        raise BadSettings(
            f"{self.run} is a run of stage3, in which no policy of all layers is learned",
            where="--prior fused",
            expected="a run of stage 4, which has the weight of each layer",
            remedy=f"think train stage4 --preset NAME --from {self.run}; then --critic its name",
        )

    def beside(self, thinker: Assembled) -> Deliberator:
        return trained_beside(self.found, thinker)


@dataclass(frozen=True)
class Whole:
    """A run of stage 4: model, critic, dynamics and the policy of all layers, in one checkpoint.

    It goes with the model that it holds, and with any other whose weights are the same: with that of the run of stage 1
    that it stands on, unless its backbone has learned from searches. Then critic and dynamics were examined beside what
    the backbone has become, and what it was is another model.
    """

    run: str
    path: Path

    @property
    def model(self) -> Path:
        return self.path

    def critic(self, thinker: Assembled) -> Critic:
        return self.beside(thinker).critic

    def dynamics(self, thinker: Assembled) -> tuple[Dynamics, str]:
        return self.beside(thinker).dynamics, self.run

    def fusion(self, thinker: Assembled) -> Fusion:
        parts = self._holder(thinker).parts
        assert parts is not None, "a run of stage 4 has its parts"
        return parts.fusion

    def beside(self, thinker: Assembled) -> Deliberator:
        held = held_by(self._holder(thinker))
        assert held is not None, "a run of stage 4 has its parts"
        return Deliberator(thinker, held.dynamics, held.critic, held.actions, str(self.path))

    @cached_property
    def _own(self) -> Assembled:
        return load(self.path)

    def _holder(self, thinker: Assembled) -> Assembled:
        """What holds the parts, on the device of the model that is asked."""
        if thinker.path == self.path:
            return thinker
        own, asked = self._own, thinker.model.embedding.weight.device
        if not _same(own.model.state_dict(), thinker.model.state_dict()):
            section = own.settings.stage("stage4")
            taught = isinstance(section, Stage4Settings) and section.distillation is not None
            raise BadSettings(
                f"the critic of {self.run} belongs to the model that this run holds"
                + (", which has learned from searches" if taught else ""),
                where="--critic",
                expected=f"that model, not {thinker.path}",
                remedy="leave RUN out: the critic's run holds its model",
            )
        assert own.parts is not None, "a run of stage 4 has its parts"
        own.parts.to(asked)
        return own


def critic_run(folder: RunFolder) -> CriticRun:
    """The run of a critic. Raises BadSettings for another stage, Missing without checkpoint or what it stands on."""
    path = newest_checkpoint(folder)
    stage = facts(path)["stage"]
    if stage == "stage4":
        return Whole(folder.name, path)
    if stage != "stage3":
        raise BadSettings(
            f"{folder.name} is a run of {stage}, which trains no critic",
            where="--critic",
            expected="a run of stage 3 or 4",
            remedy="think train stage3 --preset NAME, which says what it stands on; then --critic its name",
        )
    return Trained(read(folder))


def held_critic(thinker: Assembled) -> CriticRun | None:
    """The critic in the checkpoint of a model of stage 4; None for any other model."""
    return None if thinker.parts is None else Whole(thinker.path.parent.parent.name, thinker.path)


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two models have the same weights."""
    if one.keys() != other.keys():
        return False
    return all(torch.equal(tensor.cpu(), other[name].cpu()) for name, tensor in one.items())
