"""Figures of state and predictions against values that can be worked out."""

import math
from collections.abc import Callable

import pytest
import torch

from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.training.health import Gates, predictions, state_health


def state(matrix: torch.Tensor) -> State:
    return State(4, ({"mixer.rwkv.matrix": matrix},))


def test_one_direction_and_all_directions() -> None:
    column = torch.tensor([1.0, 2.0, 2.0, 0.0])
    rank_one, full = torch.outer(column, column), 3.0 * torch.eye(4)
    (one,) = state_health(state(full.view(1, 1, 4, 4)), state(rank_one.view(1, 1, 4, 4)))
    (all_,) = state_health(state(full.view(1, 1, 4, 4)), state(full.view(1, 1, 4, 4)))
    assert (one.layer, one.branch) == (0, "rwkv")
    assert one.participation == pytest.approx(1.0, rel=1e-5)
    assert one.rank == pytest.approx(1.0, rel=1e-4)
    assert all_.participation == pytest.approx(4.0, rel=1e-5)
    assert all_.entropy == pytest.approx(math.log(4), rel=1e-5)
    assert (all_.norm, all_.largest, all_.cosine) == pytest.approx((1.5, 3.0, 1.0))
    assert one.cosine == pytest.approx(9 * 3 / (math.sqrt(4 * 9) * 9))


def test_participation_agrees_with_the_singular_values() -> None:
    matrix = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(matrix.double())
    (found,) = state_health(state(matrix), state(matrix))
    assert found.participation == pytest.approx(
        float((values.square().sum(-1).square() / values.pow(4).sum(-1)).mean()), rel=1e-5
    )
    share = values / values.sum(-1, keepdim=True)
    assert found.entropy == pytest.approx(float(-(share * share.log()).sum(-1).mean()), rel=1e-5)


def test_an_empty_state_gives_numbers() -> None:
    (found,) = state_health(state(torch.zeros(1, 1, 3, 3)), state(torch.zeros(1, 1, 3, 3)))
    assert all(math.isfinite(value) for value in found.as_json().values() if isinstance(value, float))


def test_predictions_count_only_what_is_scored() -> None:
    logits = torch.full((4, 8), -100.0)
    logits[0, 1] = logits[1, 1] = 100.0  # certain, and the same token twice
    logits[3] = 0.0
    rows = torch.ones(4, 16) * torch.arange(1, 5)[:, None]
    targets, weights = torch.tensor([1, 2, 3, 4]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    seen = predictions(lambda hidden: logits[hidden[:, 0].long() - 1], rows, targets, weights)
    assert seen.top_probability == pytest.approx(1.0)
    assert seen.distinct_share == pytest.approx(1 / 2)
    assert seen.logit_entropy == pytest.approx(0.0, abs=1e-6)
    assert seen.hidden_entropy == pytest.approx(math.log(16))
    everything = torch.ones(4)
    assert predictions(lambda hidden: logits[hidden[:, 0].long() - 1], rows, targets, everything).logit_entropy > 0.5


def test_gates_are_heard_in_the_very_pass_and_leave_nothing_behind(model_of: Callable[..., Thinking]) -> None:
    torch.manual_seed(0)
    model, tokens = model_of(), torch.randint(48, (2, 9))
    plain, _ = model(tokens)
    with torch.no_grad():
        model.blocks[0].mixer.fusion.bias.fill_(7.0)
        model.blocks[0].mixer.rwkv.gate.weight.zero_()
    expected, _ = model(tokens)
    with Gates(model, saturation=5.0) as gates:
        heard, _ = model(tokens)
    assert torch.equal(heard, expected)
    assert gates.shares()[(0, "fusion")] == 1.0
    assert gates.shares()[(0, "rwkv")] == 0.0
    assert 0 <= gates.shares()[(0, "mamba")] <= 1
    assert not any(module._forward_hooks for module in model.modules())
    with Gates(model, saturation=5.0, listens=False) as deaf:
        model(tokens)
    assert deaf.shares() == {}
    assert not torch.equal(plain, expected)
