"""The plan against numbers counted elsewhere."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from think.core import derive as plans
from think.core.data.store import Packed
from think.core.device import RuntimeSettings, resolve
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.training.language import LanguageSettings

MODEL = {
    "vocabulary": 32,
    "width": 16,
    "layers": 2,
    "mixer": {
        "kind": "hybrid",
        "rwkv": {"heads": 2, "mix_rank": 2, "decay_rank": 2},
        "mamba": {"expand": 1, "head_width": 8, "state": 4},
        "fusion": {"kind": "hybrid_norm"},
    },
    "feed_forward": {"kind": "gelu", "inner": 32},
}
STAGE = {
    "steps": 10,
    "rows": 4,
    "length": 8,
    "learning_rate": 0.01,
    "micro_batches": 2,
    "curriculum": [{"from_share": 0.5, "length": 16}],
}


def model_settings() -> ModelSettings:
    return ModelSettings.model_validate_json(json.dumps(MODEL))


def stage_settings(**changes: Any) -> LanguageSettings:
    return LanguageSettings.model_validate_json(json.dumps({**STAGE, **changes}))


@pytest.fixture
def pack() -> Packed:
    """What a plan reads of a pack."""
    splits = {"train": SimpleNamespace(tokens=240, documents=3), "validation": SimpleNamespace(tokens=60, documents=1)}
    tokenizer = SimpleNamespace(kind="character", size=30)
    return cast(Packed, SimpleNamespace(path=Path("p"), manifest=SimpleNamespace(splits=splits, tokenizer=tokenizer)))


def test_the_plan_adds_up(pack: Packed) -> None:
    machine = resolve(RuntimeSettings(device="cpu", threads=1))
    plan = plans.derive("stage1", stage_settings(), model_settings(), pack, machine, {"pack": "abc"})
    actual = sum(parameter.numel() for parameter in build(model_settings()).parameters())
    assert plan.parameters == actual
    assert sum(plan.parameters_by_role.values()) == sum(plan.parameters_by_component.values()) == actual
    assert sum(group["parameters"] for group in plan.optimizer["groups"]) == actual
    assert plan.tokens == 4 * (5 * 8 + 5 * 16)
    assert plan.epochs == pytest.approx(plan.tokens / 240)
    assert plan.lengths == [8, 16]
    assert plan.flops == plan.flops_per_token * plan.tokens
    assert plan.memory["weights"] == plan.memory["gradients"] == 4 * actual
    assert plan.memory["optimizer"] == 8 * actual
    assert plan.became["stage1.optimizer.implementation"] == "fused"
    json.dumps(plan.as_json())


def test_muon_remembers_one_tensor_a_matrix(pack: Packed) -> None:
    machine = resolve(RuntimeSettings(device="cpu", threads=1))
    plan = plans.derive("stage1", stage_settings(optimizer={"kind": "muon"}), model_settings(), pack, machine, {})
    assert plan.memory["optimizer"] == 8 * plan.parameters - 4 * plan.parameters_by_role["matrix"]


def test_the_activations_are_those_that_a_real_pass_keeps() -> None:
    """Measured on shapes alone, against the same pass on numbers; where resets fall may add a little."""
    network, tokens = build(model_settings()), torch.zeros(2, 16, dtype=torch.long)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    sizes: dict[int, int] = {}
    kept = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept.append(plans.language_loss_of(network, tokens))
    on_shapes = plans._saved_bytes(model_settings(), 2, 16, on_numbers=False)
    assert on_shapes == pytest.approx(sum(sizes.values()), rel=0.05)
    assert plans._saved_bytes(model_settings(), 4, 16, on_numbers=False) > 1.8 * on_shapes
    # what one and two rows keep says what any number of them keeps, on numbers as on shapes
    assert plans._activations(model_settings(), 2, 16, flops_per_token=1) == on_shapes
    for rows in (1, 4, 9):
        large = plans._activations(model_settings(), rows, 16, flops_per_token=10**15)
        assert plans._activations(model_settings(), rows, 16, flops_per_token=1) == large
