"""Stages of training: one file a stage, found by its name.

A stage exports `SPEC = Stage(Settings, run, check, …)`. What it needs is handed down in a `Request`; it knows neither
presets nor command lines, and prints nothing. Its settings class becomes the section of its name in the settings tree,
and `think train <name>` trains it, from the file's docstring on.

A stage that trains a module on what an earlier one has trained is made by `module_stage` (see _modules.py) from

    Settings    a ModuleSettings (training/modules.py): steps, rows, learning rate and so on, and the stage's own
    module      request -> nn.Module: what is trained, freshly initialised from torch's generators
    teach       (request, packed, module) -> Objective: the loss of a batch, a judgement on held-out examples
    after       the stage whose finished run it stands on; `request.predecessor` is that run, and its `of("stage1")`
                the one further back. `backbone(request)` gives the model of stage 1, frozen
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from torch import nn

from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import TokenizerSettings
from think.core.device import Machine
from think.core.models.thinking import Settings as ModelSettings
from think.core.processes import ALONE, Group
from think.core.runs import RunFolder
from think.core.training.loop import LoopSettings, Watcher
from think.core.training.predecessor import Predecessor
from think.core.training.work import Scored, Work

FAMILY = "think.core.training.stages"

S = TypeVar("S", bound=LoopSettings)


@dataclass(frozen=True)
class Request(Generic[S]):
    """All that a stage needs.

    settings     the stage's own section
    digests      of every settings section, of the data and the tokenizer
    files        texts to put into the run folder by name, such as settings.toml and plan.json
    predecessor  the run that it stands on; None for a stage that stands on none
    """

    settings: S
    model: ModelSettings
    tokenizer: TokenizerSettings
    data: DataSettings
    pack_command: str
    "the command that makes the data, for the message when they are not there"
    machine: Machine
    preset: str
    digests: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    resume: bool = False
    group: Group = ALONE
    "the processes of the run"
    predecessor: Predecessor | None = None


@dataclass(frozen=True)
class Finished:
    """How a stage ended, having read `total` of what it counts in `unit`. `already`: there was nothing left to do."""

    folder: RunFolder
    stage: str
    step: int
    unit: str
    total: int
    score: Scored | None
    already: bool
    notes: tuple[str, ...] = ()


class Check(Protocol):
    """Everything that can be wrong before a folder is made or a step taken; `every_byte` reads the data for it."""

    def __call__(self, request: Request[Any], *, every_byte: bool = False) -> Packed: ...


@dataclass(frozen=True)
class Stage:
    """What a stage's file exports.

    make    what `run` trains, freshly initialised, as the work of a training loop
    after   the stage whose finished run this one stands on; None for the first
    module  what it trains, freshly initialised; None where that is the model itself
    tiny    a section of the smallest run that has every part, for the test that every setting has an effect
    kinds      for that test: choices by dotted key, such as stage2.games, and what each kind needs to be told
    crossings  leaves by name in the section, and what must hold there for them to have something to act on
    others     the same leaves, and values to try where doubling and halving will not do
    """

    Settings: type[LoopSettings]
    run: Callable[[Request[Any], RunFolder, Watcher], Finished]
    check: Check
    make: Callable[[Request[Any], Group, Packed], Work[Any]]
    after: str | None = None
    module: Callable[[Request[Any]], nn.Module] | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    crossings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    others: Mapping[str, Sequence[Any]] = field(default_factory=dict)
