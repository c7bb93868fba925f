"""Stage 1 trains the backbone: a language model on packed text, the state handed from step to step."""

import torch

from think.core.data.batches import Tracks
from think.core.data.store import Packed
from think.core.errors import BadSettings
from think.core.models import build
from think.core.processes import ALONE, Group, require_division
from think.core.training.language import Language, LanguageSettings
from think.core.training.stages import Request, Stage
from think.core.training.stages._conduct import Conduct, open_data

NAME = "stage1"


class Stage1Settings(LanguageSettings):
    """Training of the backbone."""


def check(request: Request[Stage1Settings], *, every_byte: bool = False) -> Packed:
    """Open the data and hold it against the settings; nothing is written.

    every_byte  read the data and compare every checksum: once in a run, before its folder is made
    Raises Missing when there are no data, BadData when they are damaged or too short, BadSettings when they do not fit.
    """
    packed = open_data(request)
    require_division(request.settings.rows, request.settings.micro_batches, request.machine.processes)
    _tracks(packed, request.settings, ALONE).at(0, request.settings.longest)
    held_out, tracks = packed.split("validation").tokens, request.settings.evaluation.rows
    if tracks > held_out:
        raise BadSettings(
            f"{held_out:,} held-out tokens cannot be read in {tracks:,} tracks",
            where=str(packed.path),
            expected=f"stage1.evaluation.rows of at most {held_out}",
            remedy="lower stage1.evaluation.rows, or pack more text",
        )
    if every_byte:
        packed.verify()
    return packed


def make(request: Request[Stage1Settings], group: Group, packed: Packed) -> Language:
    """A fresh backbone and the text that it will read."""
    with torch.device(request.machine.torch_device):
        model = build(request.model)
    tracks = _tracks(packed, request.settings, group)
    return Language(model, request.settings, request.machine, group, tracks, packed.split("validation"))


def _tracks(packed: Packed, settings: LanguageSettings, group: Group) -> Tracks:
    return Tracks(packed.split("train"), settings.rows, settings.seed, settings.reset_period, group.rows(settings.rows))


SPEC = Stage(Stage1Settings, Conduct(NAME, check, make), check, make)
