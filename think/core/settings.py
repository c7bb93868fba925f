"""The settings tree of a run. It only puts together what is declared beside the code that reads it.

[model]      core/models/thinking.py      [stage1]   core/training/stages/stage1.py
[tokenizer]  core/data/tokenizer.py       [gates.*]  core/gates/checks/*.py, one section a file
[data]       core/data/settings.py        [runtime]  core/device.py
"""

from typing import Any

from pydantic import Field, create_model

from think.core import plugins
from think.core.data.settings import DataSettings
from think.core.data.tokenizer import TokenizerSettings
from think.core.device import RuntimeSettings
from think.core.models.thinking import Settings as ModelSettings
from think.core.training.stages.stage1 import Stage1Settings
from think.presets.base import Settings

CHECKS = "think.core.gates.checks"


def _gates() -> type[Settings]:
    sections: dict[str, Any] = {}
    for name in plugins.names(CHECKS):
        section = plugins.load(CHECKS, name).Settings
        sections[name] = (section, Field(default_factory=section))
    return create_model("GatesSettings", __base__=Settings, __doc__="Thresholds of every gate.", **sections)


GatesSettings = _gates()


class RunSettings(Settings):
    """Everything that decides what a run computes, and how."""

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
