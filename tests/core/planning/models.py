"""Small models for tests of injection: fresh weights made to have opinions, one for each kind of recurrence."""

import json
from typing import Any

import torch

from think.core.models import Settings, Thinking, build
from think.core.models.state import State

RWKV: dict[str, Any] = {
    "heads": 2,
    "mix_rank": 4,
    "decay_rank": 4,
    "retention": {"fastest": 0.8, "slowest": 0.99},
}
MAMBA: dict[str, Any] = {"expand": 1, "head_width": 8, "state": 4, "retention": {"fastest": 0.8, "slowest": 0.99}}
SIGNED = {"negative_eigenvalues": True}
MIXERS: dict[str, dict[str, Any]] = {
    "rwkv6": {"kind": "rwkv6", **RWKV},
    "rwkv6, signed": {"kind": "rwkv6", **RWKV, **SIGNED},
    "mamba2": {"kind": "mamba2", **MAMBA},
    "mamba2, signed": {"kind": "mamba2", **MAMBA, **SIGNED},
    "hybrid": {"kind": "hybrid", "rwkv": RWKV, "mamba": MAMBA, "fusion": {"kind": "hybrid_norm"}},
    "hybrid, signed": {
        "kind": "hybrid",
        "rwkv": {**RWKV, **SIGNED},
        "mamba": {**MAMBA, **SIGNED},
        "fusion": {"kind": "hybrid_norm"},
    },
}
VOCABULARY = 40
LAYERS = 3


def model_of(
    kind: str = "hybrid", *, period: int | None = None, anchor: bool = False, sees: int | None = None, seed: int = 0
) -> Thinking:
    """period: of StateNorm; anchor: the last block is sliding attention; sees: it sees so many tokens and no more."""
    norm = None if period is None else {"groups": 2, "period": period}
    settings: dict[str, Any] = {
        "vocabulary": VOCABULARY,
        "width": 16,
        "layers": LAYERS,
        "mixer": {**MIXERS[kind], "memory": {"h0": True, "norm": norm}},
        "feed_forward": {"kind": "channel_mix", "inner": 32},
    }
    if anchor or sees is not None:
        where = {"kind": "at", "layers": [LAYERS - 1]}
        attention = {"heads": 2, "context": 6 if sees is None else sees, "sliding": sees is None}
        settings["anchors"] = {"where": where, "attention": attention}
    torch.manual_seed(seed)
    model = build(Settings.model_validate_json(json.dumps(settings))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def tokens(count: int, seed: int = 1, rows: int = 1) -> torch.Tensor:
    return torch.randint(8, VOCABULARY, (rows, count), generator=torch.Generator().manual_seed(seed))


def after(model: Thinking, read: torch.Tensor, state: State | None = None) -> State:
    return model.hidden(read, state)[1]
