"""A small packed corpus and a small hybrid whose parameters are all awake."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.store import Packed, Split
from think.core.data.tokenizer import CharacterSettings, train
from think.core.models import build
from think.core.models.thinking import Settings, Thinking

MODEL: dict[str, Any] = {
    "vocabulary": 96,
    "width": 16,
    "layers": 2,
    "gamma": 0.5,
    "mixer": {
        "kind": "hybrid",
        "rwkv": {"heads": 2, "mix_rank": 2, "decay_rank": 2},
        "mamba": {"expand": 1, "head_width": 8, "state": 4},
        "fusion": {"kind": "hybrid_norm"},
        "memory": {"h0": True, "h0_deviation": 0.5},
    },
    "feed_forward": {"kind": "channel_mix", "inner": 16},
}


@pytest.fixture(scope="session")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("held-out") / "data"
    asked = {"sources": [{"kind": "stories", "count": 150}], "path": str(folder), "validation": 0.3}
    data = DataSettings.model_validate_json(json.dumps(asked))
    tokenizer = train(CharacterSettings(), texts(data.sources, data))
    pack(data.sources, data, tokenizer, Path(folder))
    return Packed.open(folder).split("validation")


@pytest.fixture
def model() -> Thinking:
    torch.manual_seed(0)
    made = build(Settings.model_validate_json(json.dumps(MODEL))).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made
