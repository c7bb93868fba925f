"""Sizes of a model, built or on the meta device."""

import pytest
import torch

from think.core.errors import BadSettings
from think.core.models import count
from think.core.models.thinking import Settings


def small(width: int = 16, vocabulary: int = 32, layers: int = 2) -> Settings:
    return Settings.model_validate(
        {
            "vocabulary": vocabulary,
            "width": width,
            "layers": layers,
            "mixer": {"kind": "rwkv6", "heads": 2, "mix_rank": 2, "decay_rank": 2},
            "feed_forward": {"kind": "gelu", "inner": 32},
        }
    )


def test_a_small_model_is_built_and_says_what_shapes_alone_say() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    built, shapes = count.shapes(small()), count.on_meta(small())
    assert torch.equal(torch.get_rng_state(), before)
    assert {name: parameter.shape for name, parameter in built.named_parameters()} == {
        name: parameter.shape for name, parameter in shapes.named_parameters()
    }
    assert all(parameter.device.type == "cpu" for parameter in built.parameters())
    assert count.flops_per_token(small(), 8, built) == count.flops_per_token(small(), 8, shapes)


@pytest.mark.parametrize("settings", [small(vocabulary=10**6), small(vocabulary=10**9), small(layers=1024)])
def test_a_large_model_is_never_built(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "on_meta", lambda asked: asked)
    assert count.shapes(settings) is settings


def test_a_model_beyond_all_bounds_is_told() -> None:
    with pytest.raises(BadSettings, match="beyond all bounds"):
        count.shapes(small(vocabulary=2**62))
