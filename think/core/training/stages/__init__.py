"""Stages of training: one file a stage, found by its name.

A stage exports `SPEC = Stage(Settings, run)`. What it needs is handed down in a `Request`; it knows neither presets nor
command lines, and prints nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import TokenizerSettings
from think.core.device import Machine
from think.core.models.thinking import Settings as ModelSettings
from think.core.processes import ALONE, Group
from think.core.runs import RunFolder
from think.core.training.evaluate import Score
from think.core.training.loop import LoopSettings, Progress, Watcher
from think.presets.base import Settings


@dataclass(frozen=True)
class Request:
    """All that a stage needs.

    settings    the stage's own section
    digests     of every settings section, of the data and the tokenizer
    files       texts to put into the run folder by name, such as settings.toml and plan.json
    """

    settings: LoopSettings
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


@dataclass(frozen=True)
class Finished:
    """How a stage ended. `already`: there was nothing left to do."""

    folder: RunFolder
    progress: Progress
    score: Score | None
    already: bool
    notes: tuple[str, ...] = ()


class Check(Protocol):
    """Everything that can be wrong before a folder is made or a step taken; `every_byte` reads the data for it."""

    def __call__(self, request: Request, *, every_byte: bool = False) -> Packed: ...


@dataclass(frozen=True)
class Stage:
    """What a stage's file exports."""

    Settings: type[Settings]
    run: Callable[[Request, RunFolder, Watcher], Finished]
    check: Check
