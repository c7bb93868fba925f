"""Fusion: the weights are shares, one layer alone is that layer's policy, and gradient reaches all of them."""

import json

import pytest
import torch

from think.core.models import build
from think.core.models.roles import roles
from think.core.models.thinking import Settings, Thinking
from think.core.planning.fusion import Fusion

pytestmark = pytest.mark.model


@pytest.fixture
def model() -> Thinking:
    told = {
        "vocabulary": 11,
        "width": 8,
        "layers": 3,
        "mixer": {"kind": "mamba2", "expand": 1, "head_width": 8, "state": 4},
        "feed_forward": {"kind": "gelu", "inner": 8},
    }
    torch.manual_seed(0)
    return build(Settings.model_validate_json(json.dumps(told))).eval()


def test_weights_are_equal_shares_at_first_and_shares_always() -> None:
    fusion = Fusion(4)
    assert torch.allclose(fusion.weights, torch.full((4,), 0.25))
    assert float(fusion.entropy.detach()) == pytest.approx(torch.tensor(4.0).log().item())
    torch.nn.init.normal_(fusion.theta, std=3.0)
    assert float(fusion.weights.detach().sum()) == pytest.approx(1.0)
    assert roles(fusion) == {"theta": "vector"}


def test_the_last_layer_alone_is_the_policy_of_the_backbone(model: Thinking) -> None:
    fusion, tokens = Fusion(3), torch.randint(11, (2, 5))
    with torch.no_grad():
        fusion.theta[2] = 200.0
        residuals, _ = model.residuals(tokens)
        expected = model(tokens)[0]
        assert float(fusion.entropy) == pytest.approx(0.0, abs=1e-6)
        assert torch.allclose(fusion.logits(model, residuals), expected, rtol=1e-5, atol=1e-6)


def test_layers_add_up_as_their_weights_say() -> None:
    fusion, residuals = Fusion(3), torch.randn(4, 5, 3, 8)
    torch.nn.init.normal_(fusion.theta)
    with torch.no_grad():
        by_hand = sum(weight * residuals[..., layer, :] for layer, weight in enumerate(fusion.weights))
        assert torch.allclose(fusion(residuals), by_hand, atol=1e-6)


def test_the_gradient_of_a_policy_reaches_the_weight_of_every_layer_and_lowers_its_loss(model: Thinking) -> None:
    fusion, tokens = Fusion(3), torch.randint(11, (4, 6))
    model.requires_grad_(False)
    residuals, _ = model.residuals(tokens)
    rule, losses = torch.optim.SGD(fusion.parameters(), lr=1.0), []
    for _ in range(5):
        logits = fusion.logits(model, residuals)[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        rule.zero_grad()
        loss.backward()
        assert fusion.theta.grad is not None
        assert (fusion.theta.grad != 0).all()
        rule.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)
