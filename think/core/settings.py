"""The settings tree of a run. It only puts together what is declared beside the code that reads it.

[model]      core/models/thinking.py      [stage1] …  core/training/stages/*.py, one section a file
[tokenizer]  core/data/tokenizer.py       [gates.*]   core/gates/checks/*.py, one section a file
[data]       core/data/settings.py        [runtime]   core/device.py

A preset may be without the stages after the first; a section that is absent is neither written nor hashed.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, create_model

from think.core import plugins
from think.core.data.settings import DataSettings
from think.core.data.tokenizer import TokenizerSettings
from think.core.device import RuntimeSettings
from think.core.models.thinking import Settings as ModelSettings
from think.core.training.loop import LoopSettings
from think.core.training.stages import FAMILY as STAGES
from think.core.training.stages.stage1 import Stage1Settings
from think.presets.base import Settings

CHECKS = "think.core.gates.checks"

LATER = tuple(name for name in plugins.names(STAGES) if plugins.load(STAGES, name).after is not None)
"Stages that stand on another; a preset may be without them."


def stage_of(key: str) -> str:
    """The stage whose run shows what a setting does: that of its section, else the first."""
    section = key.partition(".")[0]
    return section if section in LATER else "stage1"


def _gates() -> type[Settings]:
    sections: dict[str, Any] = {}
    for name in plugins.names(CHECKS):
        section = plugins.load(CHECKS, name).Settings
        sections[name] = (section, Field(default_factory=section))
    return create_model("GatesSettings", __base__=Settings, __doc__="Thresholds of every gate.", **sections)


def _later_stages() -> type[Settings]:
    sections: dict[str, Any] = {}
    for name in LATER:
        about = f"{plugins.load(STAGES, name).Settings.__doc__}".partition("\n")[0].rstrip(".")
        absent = Field(default=None, exclude_if=lambda value: value is None, description=f"{about}; none when absent")
        sections[name] = (plugins.load(STAGES, name).Settings | None, absent)
    return create_model("LaterStages", __base__=Settings, __doc__="Sections of the stages after the first.", **sections)


GatesSettings = _gates()

if TYPE_CHECKING:
    LaterStages = Settings
else:
    LaterStages = _later_stages()


class RunSettings(LaterStages):
    """Everything that decides what a run computes, and how."""

    in_order: ClassVar = ("model", "tokenizer", "data", "stage1", *LATER, "gates", "runtime")

    model: ModelSettings
    "the network"
    tokenizer: TokenizerSettings
    "how text becomes token ids"
    data: DataSettings
    "what is packed, and where it lies"
    stage1: Stage1Settings
    "training of the backbone"
    gates: GatesSettings = Field(default_factory=GatesSettings)  # type: ignore[valid-type]
    "thresholds"
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    "how this machine does it; never what comes out"

    def stage(self, name: str) -> LoopSettings | None:
        """The section of a stage; None when these settings have none."""
        section: LoopSettings | None = getattr(self, name)
        return section
