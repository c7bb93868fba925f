"""The loss against its formula, in pieces and as a whole."""

import pytest
import torch

from think.core.training import losses
from think.core.training.losses import language_loss


@pytest.fixture
def tokens() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(40, 11, generator=generator, dtype=torch.float32, requires_grad=True)
    return logits, torch.randint(11, (40,), generator=generator), torch.rand(40, generator=generator).round()


def test_the_entropy_bonus_enters_as_the_formula_says(tokens: tuple[torch.Tensor, ...]) -> None:
    logits, targets, weights = tokens
    total = float(weights.sum())
    probability = logits.double().softmax(-1)
    cross_entropy = -(probability.gather(1, targets[:, None]).squeeze(1).log() * weights).sum()
    entropy = -((probability * probability.log()).sum(-1) * weights).sum()

    loss = language_loss(logits, targets, weights, total_weight=total, entropy_bonus=0.3)

    assert loss.objective.item() == pytest.approx(((cross_entropy - 0.3 * entropy) / total).item(), rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(cross_entropy.item(), rel=1e-5)
    assert loss.entropy.item() == pytest.approx(entropy.item(), rel=1e-5)


def test_tokens_of_no_weight_get_no_gradient(tokens: tuple[torch.Tensor, ...]) -> None:
    logits, targets, weights = tokens
    language_loss(logits, targets, weights, total_weight=1.0, entropy_bonus=0.1).objective.backward()
    assert logits.grad is not None
    assert not logits.grad[weights == 0].any()
    assert bool(logits.grad[weights == 1].any(dim=1).all())


@pytest.mark.parametrize("bonus", [0.0, 0.2])
def test_chunks_give_the_same_loss_and_gradient(
    tokens: tuple[torch.Tensor, ...], bonus: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, targets, weights = tokens
    whole = language_loss(logits, targets, weights, total_weight=7.0, entropy_bonus=bonus)
    (expected,) = torch.autograd.grad(whole.objective, logits)
    monkeypatch.setattr(losses, "_LARGEST_CHUNK", 11 * 7)
    parts = language_loss(logits, targets, weights, total_weight=7.0, entropy_bonus=bonus)
    (found,) = torch.autograd.grad(parts.objective, logits)
    torch.testing.assert_close(parts.objective, whole.objective)
    torch.testing.assert_close(found, expected)


def test_half_precision_logits_are_reckoned_in_float32() -> None:
    logits = torch.full((1, 1024), 3.0, dtype=torch.bfloat16)
    loss = language_loss(logits, torch.zeros(1, dtype=torch.long), torch.ones(1), total_weight=1.0, entropy_bonus=0.0)
    assert float(loss.objective) == pytest.approx(6.931472, abs=1e-5)  # ln 1024, which bfloat16 would round to 6.9375
