"""The loss of a model against its formula, in parts and as a whole."""

import pytest
import torch

from tests.core.models import examples
from think.core.models.thinking import Thinking
from think.core.training.losses import language_loss

Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(params=[{}, {"tied": False}, {"logit_cap": 2.0}])
def made(request: pytest.FixtureRequest) -> Thinking:
    return examples.model(**request.param)


@pytest.fixture
def tokens(made: Thinking) -> Tokens:
    hidden = made.hidden(examples.tokens(3, 12))[0].detach().requires_grad_()
    return hidden, examples.tokens(3, 12, seed=1), torch.rand(3, 12, generator=torch.Generator().manual_seed(1)).round()


def test_it_is_that_of_the_logits(made: Thinking, tokens: Tokens) -> None:
    hidden, targets, weights = tokens
    total = float(weights.sum())
    probability = made.logits(hidden).double().softmax(-1)
    cross_entropy = -(probability.gather(2, targets[..., None]).squeeze(2).log() * weights).sum()
    entropy = -((probability * probability.log()).sum(-1) * weights).sum()
    objective = (cross_entropy - 0.3 * entropy) / total

    loss = language_loss(made, hidden, targets, weights, total_weight=total, entropy_bonus=0.3)

    assert loss.objective.item() == pytest.approx(objective.item(), rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(cross_entropy.item(), rel=1e-5)
    assert loss.entropy.item() == pytest.approx(entropy.item(), rel=1e-5)
    leaves = [hidden, made.head.weight]
    expected = torch.autograd.grad(objective, leaves)
    for found, right in zip(torch.autograd.grad(loss.objective, leaves), expected, strict=True):
        torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-6)


def test_tokens_of_no_weight_get_no_gradient(made: Thinking, tokens: Tokens) -> None:
    hidden, targets, weights = tokens
    language_loss(made, hidden, targets, weights, total_weight=1.0, entropy_bonus=0.1).objective.backward()
    assert hidden.grad is not None
    assert not hidden.grad[weights == 0].any()
    assert bool(hidden.grad[weights == 1].any(dim=1).all())


def test_half_precision_is_reckoned_in_float32() -> None:
    made = examples.model(vocabulary=1024)
    with torch.no_grad():
        made.head.weight.fill_(1.0)
    hidden, target = torch.ones(1, 1, 16), torch.zeros(1, 1, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        loss = language_loss(made, hidden, target, torch.ones(1, 1), total_weight=1.0, entropy_bonus=0.0)
    assert float(loss.cross_entropy) == pytest.approx(
        6.931472, abs=1e-5
    )  # ln 1024, which bfloat16 would round to 6.9375
