"""A corpus of a few thousand characters, packed once, and the smallest model that has every part."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from think.core import seeding
from think.core.data.batches import Tracks
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import CharacterSettings, train
from think.core.device import RuntimeSettings, prepare, resolve
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking
from think.core.processes import ALONE
from think.core.training.checkpoint import Checkpoints
from think.core.training.language import Language, LanguageSettings
from think.core.training.ledger import Ledger
from think.core.training.loop import Run
from think.core.training.optimizer import build_optimizer
from think.core.training.stop import Stop

MODEL: dict[str, Any] = {
    "vocabulary": 48,
    "width": 16,
    "layers": 2,
    "gamma": 0.1,
    "mixer": {
        "kind": "hybrid",
        "rwkv": {"heads": 2, "mix_rank": 2, "decay_rank": 2},
        "mamba": {"expand": 1, "head_width": 8, "state": 4},
        "fusion": {"kind": "gated"},
        "memory": {"h0": True, "norm": {"groups": 4, "period": 16}},
    },
    "feed_forward": {"kind": "channel_mix", "inner": 16},
    "anchors": {"where": {"kind": "at", "layers": [1]}, "attention": {"heads": 2, "context": 12}},
}

STAGE: dict[str, Any] = {
    "steps": 6,
    "rows": 4,
    "length": 12,
    "learning_rate": 0.01,
    "seed": 3,
    "evaluation": {"every": None, "rows": 2},
    "checkpoint": {"every": None, "keep": 3},
    "telemetry": {"gradients_every": None, "health_every": None},
}


@dataclass
class Records:
    """Takes records as a telemetry writer does, and keeps them."""

    kept: list[tuple[str, int | None, dict[str, Any]]] = field(default_factory=list)

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None:
        self.kept.append((kind, step, fields))

    def of(self, kind: str) -> list[tuple[int | None, dict[str, Any]]]:
        return [(step, fields) for name, step, fields in self.kept if name == kind]

    def losses(self) -> list[float]:
        return [fields["loss"] for _, fields in self.of("step")]


@pytest.fixture
def model_of() -> Callable[..., Thinking]:
    """A fresh model from torch's global generator; keys replace parts of MODEL."""
    return lambda **changes: build(model_settings(**changes))


@pytest.fixture
def stage_of() -> Callable[..., LanguageSettings]:
    """Settings of a stage; keys replace parts of STAGE."""
    return stage_settings


def model_settings(**changes: Any) -> ModelSettings:
    return ModelSettings.model_validate_json(json.dumps({**MODEL, **changes}))


def stage_settings(**changes: Any) -> LanguageSettings:
    return LanguageSettings.model_validate_json(json.dumps({**STAGE, **changes}))


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """40 documents of one line each: about 2,000 tokens to train on, 8 documents held out."""
    folder = tmp_path_factory.mktemp("packed")
    kinds = ("quick", "slow", "brown", "red", "tame")
    lines = [f"the {kinds[n % len(kinds)]} fox jumps over dog {n} and sleeps" for n in range(40)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = DataSettings.model_validate_json(
        json.dumps(
            {
                "path": str(folder / "pack"),
                "split_on": "record",
                "validation": 0.2,
                "sources": [{"kind": "text", "path": str(folder / "text.txt")}],
            }
        )
    )
    tokenizer = train(CharacterSettings(), texts(settings.sources, settings))
    pack(settings.sources, settings, tokenizer, folder / "pack")
    return Packed.open(folder / "pack")


MakeRun = Callable[..., tuple[Run, Records]]


@pytest.fixture
def make_run(packed: Packed, tmp_path: Path) -> MakeRun:
    """A run in `tmp_path`/name; `model` and further keys replace parts of MODEL and STAGE."""

    def make(name: str = "run", model: dict[str, Any] | None = None, **changes: Any) -> tuple[Run, Records]:
        settings, records = stage_settings(**changes), Records()
        machine = resolve(RuntimeSettings(device="cpu", threads=1))
        prepare(machine)
        seeding.start(settings.seed, "initialisation")
        network = build(model_settings(**(model or {})))
        tracks = Tracks(packed.split("train"), settings.rows, settings.seed, settings.reset_period)
        work = Language(network, settings, machine, ALONE, tracks, packed.split("validation"))
        run = Run(
            settings=settings,
            stage="stage1",
            clock=settings.clock(),
            work=work,
            optimizer=build_optimizer(settings.optimizer, work.roles(), work.parameters(), settings.learning_rate),
            checkpoints=Checkpoints(tmp_path / name, keep=settings.checkpoint.keep),
            ledger=Ledger(records, settings.telemetry, settings.anomalies),
            stop=Stop(),
            identity={"digests": {}},
            where=str(tmp_path / name),
        )
        seeding.start(settings.seed, "dropout")
        return run, records

    return make


@pytest.fixture
def same_bytes() -> Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], bool]:
    """Whether two groups of tensors have equal names and equal bytes."""

    def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().reshape(-1).contiguous().view(torch.uint8)

    def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
        return one.keys() == other.keys() and all(torch.equal(bytes_of(one[n]), bytes_of(other[n])) for n in one)

    return same
