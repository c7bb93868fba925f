"""bfloat16 products under float32 master weights: what is narrow, and what stays float32."""

from collections.abc import Callable

import pytest
import torch

from think.core.data.batches import Batch
from think.core.models.thinking import Thinking
from think.core.training.loop import trainable
from think.core.training.optimizer import AdamWSettings, MuonSettings, build_optimizer
from think.core.training.step import Outcome, Precision, accumulate_gradients, forward_of

pytestmark = pytest.mark.train

MakeModel = Callable[..., Thinking]


def gradients(model: Thinking, precision: Precision) -> Outcome:
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.settings.vocabulary, (2, 17), generator=random)
    shape = (2, 16)
    reset = torch.zeros(shape, dtype=torch.bool)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), torch.ones(shape), reset)
    return accumulate_gradients(
        forward_of(model),
        batch,
        model.initial_state(2).detach(),
        micro_batches=1,
        entropy_bonus=0.0,
        precision=precision,
        look=None,
    )


@pytest.mark.parametrize("settings", [AdamWSettings(), MuonSettings()])
def test_weights_gradients_and_moments_stay_float32(
    model_of: MakeModel, settings: AdamWSettings | MuonSettings
) -> None:
    model = model_of()
    parameters = trainable(model)
    optimizer = build_optimizer(settings, model.roles(), parameters, 1e-3)
    outcome = gradients(model, "bfloat16")
    optimizer.step(1.0)
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in parameters.values() if parameter.grad is not None} == {torch.float32}
    assert {held.dtype for held in optimizer.state().values()} == {torch.float32}
    assert {tensor.dtype for tensor in outcome.state.tensors().values() if tensor.is_floating_point()} == {
        torch.float32
    }


def test_moves_below_the_resolution_of_bfloat16_are_kept(model_of: MakeModel) -> None:
    """A weight of 1 in bfloat16 does not move by 1e-4; in a master copy a hundred such moves make a hundredth."""
    model = model_of()
    parameters = trainable(model)
    optimizer = build_optimizer(AdamWSettings(weight_decay=0.0), model.roles(), parameters, 1e-4)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    gradients(model, "bfloat16")
    held = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None and bool(p.grad.any())}
    optimizer.step(1.0)
    kept = [parameters[name].detach().to(torch.bfloat16) == before[name].to(torch.bfloat16) for name in held]
    moved = [parameters[name].detach() != before[name] for name in held]
    assert sum(int((same & there).sum()) for same, there in zip(kept, moved, strict=True)) > 100


def test_the_update_is_the_one_that_float32_makes_of_the_same_gradients(model_of: MakeModel) -> None:
    narrow, full = model_of(), model_of()
    full.load_state_dict(narrow.state_dict())
    gradients(narrow, "bfloat16")
    for mine, other in zip(narrow.parameters(), full.parameters(), strict=True):
        other.grad = None if mine.grad is None else mine.grad.clone()
    for model in (narrow, full):
        build_optimizer(AdamWSettings(), model.roles(), trainable(model), 1e-3).step(1.0)
    for mine, other in zip(narrow.parameters(), full.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_the_products_are_narrow_and_the_loss_is_near(model_of: MakeModel) -> None:
    model = model_of()
    full = gradients(model, "float32")
    exact = {name: p.grad.clone() for name, p in trainable(model).items() if p.grad is not None}
    model.zero_grad()
    narrow = gradients(model, "bfloat16")
    assert narrow.loss is not None
    assert full.loss is not None
    assert 0 < abs(narrow.loss - full.loss) < 0.02 * full.loss
    narrow_gradients = {name: p.grad for name, p in trainable(model).items() if p.grad is not None}
    differing = [name for name, expected in exact.items() if not torch.equal(narrow_gradients[name], expected)]
    assert len(differing) > len(exact) / 2
