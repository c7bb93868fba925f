"""What a stage that stands on a backbone finds: a pack of path-stars, and a checkpoint that was never trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from tests.core.planning.games import known
from think.core.data.pack import pack
from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import CharacterSettings
from think.core.device import RuntimeSettings, resolve
from think.core.training.checkpoint import Checkpoints
from think.core.training.modules import ModuleSettings
from think.core.training.predecessor import WEIGHTS, Predecessor, weights_digest
from think.core.training.stages import Request
from think.core.training.weights import weights

S = TypeVar("S", bound=ModuleSettings)


@dataclass(frozen=True)
class Surroundings(Generic[S]):
    """section: settings of the stage as plain values"""

    request: Request[S]
    packed: Packed
    section: Mapping[str, Any]

    def ask(self, **changes: Any) -> Request[S]:
        """The request with other values in its section."""
        return replace(self.request, settings=_settings(type(self.request.settings), {**self.section, **changes}))


def path_stars(folder: Path, Settings: type[S], section: Mapping[str, Any]) -> Surroundings[S]:
    """Make all of it in a folder."""
    tokenizer, backbone = known("path_star")[1:]
    source = {"kind": "puzzles", "task": {"kind": "path_star", "arms": 3, "length": 3}, "count": 60}
    data = _settings(DataSettings, {"path": str(folder / "pack"), "validation": 0.2, "sources": [source]})
    pack(data.sources, data, tokenizer, folder / "pack")
    packed = Packed.open(folder / "pack")
    path = Checkpoints(folder / "checkpoints").save(7, {WEIGHTS: weights(backbone)}, {"step": 7})
    request = Request(
        settings=_settings(Settings, section),
        model=backbone.settings,
        tokenizer=CharacterSettings(),
        data=data,
        pack_command="think data pack",
        machine=resolve(RuntimeSettings(device="cpu", threads=1)),
        preset="test",
        digests={"pack": packed.digest},
        predecessor=Predecessor("stage1", "first", path, 7, weights_digest(path)),
    )
    return Surroundings(request, packed, section)


T = TypeVar("T", bound=BaseModel)


def _settings(kind: type[T], values: Mapping[str, Any]) -> T:
    return kind.model_validate_json(json.dumps(values))
