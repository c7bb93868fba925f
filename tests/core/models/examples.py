"""Tiny models for tests: one of each mixer, each fusion rule, with and without what is optional."""

import json
from typing import Any

import torch

from think.core import plugins
from think.core.models import Settings, Thinking, build
from think.core.models.thinking import MIXERS as FAMILY

VOCABULARY = 40

RWKV = {"heads": 2, "mix_rank": 3, "decay_rank": 4}
MAMBA = {"expand": 1, "head_width": 8, "state": 6}
MEMORY = {"h0": True, "h0_deviation": 0.5, "norm": {"groups": 4, "period": 16}}

MIXERS: dict[str, dict[str, Any]] = {
    **{name: {"kind": name, **plugins.load(FAMILY, name).tiny} for name in plugins.names(FAMILY)},
    "hybrid": {"kind": "hybrid", "rwkv": RWKV, "mamba": MAMBA, "memory": MEMORY},
    "rwkv6": {"kind": "rwkv6", **RWKV, "memory": MEMORY},
    "mamba2": {"kind": "mamba2", **MAMBA, "memory": MEMORY},
    "attention": {"kind": "attention", "heads": 2, "context": 12},
}

SIGNED: dict[str, dict[str, Any]] = {
    "hybrid": {
        **MIXERS["hybrid"],
        "rwkv": {**RWKV, "negative_eigenvalues": True, "retention": {"fastest": 0.05, "slowest": 0.9}},
        "mamba": {**MAMBA, "negative_eigenvalues": True, "retention": {"fastest": 0.05, "slowest": 0.9}},
    },
}
"Retentions so low that data make decays of both signs."

FUSIONS: dict[str, dict[str, Any]] = {
    "weighted": {"kind": "weighted", "rwkv_share": 0.3},
    "residual": {"kind": "residual"},
    "concat": {"kind": "concat"},
    "gated_token": {"kind": "gated", "per": "token", "rwkv_share": 0.7},
    "gated_channel": {"kind": "gated", "per": "channel"},
    "hybrid_norm": {"kind": "hybrid_norm"},
    "arbiter": {"kind": "arbiter", "inner": 10},
}

ANCHORS = {"where": {"kind": "at", "layers": [1]}, "attention": {"heads": 2, "context": 9}}


def settings(kind: str = "hybrid", **changes: Any) -> Settings:
    """Settings of a tiny model; `changes` replace top-level keys."""
    tree = {
        "vocabulary": VOCABULARY,
        "width": 16,
        "layers": 2,
        "mixer": MIXERS[kind],
        "feed_forward": {"kind": "channel_mix", "inner": 24},
        "gamma": 0.5,
        **changes,
    }
    return Settings.model_validate_json(json.dumps(tree))


def model(kind: str = "hybrid", seed: int = 0, **changes: Any) -> Thinking:
    """A tiny model whose start values are spread out, so that no part of it is silent."""
    torch.manual_seed(seed)
    made = build(settings(kind, **changes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def tokens(batch: int, time: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, time), generator=torch.Generator().manual_seed(seed))


def resets(batch: int, time: int, seed: int = 0, share: float = 0.1) -> torch.Tensor:
    return torch.rand(batch, time, generator=torch.Generator().manual_seed(seed)) < share
