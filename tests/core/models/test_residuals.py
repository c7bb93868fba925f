"""The residual stream of every layer: the same function as `hidden`, however the text is cut."""

import pytest
import torch
from torch.testing import assert_close

from tests.core.models.examples import ANCHORS, MIXERS, model, resets, tokens

pytestmark = pytest.mark.model

TIME = 37
"More than two periods of the StateNorm of these models, and no multiple of one."

MODELS = [*((name, {}) for name in MIXERS), ("hybrid", {"anchors": ANCHORS})]


@pytest.mark.parametrize(("kind", "changes"), MODELS)
@pytest.mark.parametrize("cut", [False, True])
@torch.no_grad()
def test_the_last_layer_is_what_the_logits_are_made_of(kind, changes, cut):
    made, seen = model(kind, **changes), tokens(2, TIME)
    reset = resets(2, TIME) if cut else None
    residuals, after = made.residuals(seen, None, reset)
    hidden, expected = made.hidden(seen, None, reset)
    assert residuals.shape == (2, TIME, 2, 16)
    assert torch.equal(made.norm(residuals[:, :, -1]), hidden)
    assert after.position == expected.position == TIME
    for name, tensor in expected.tensors().items():
        assert torch.equal(after.tensors()[name], tensor), name


@pytest.mark.parametrize(("kind", "changes"), MODELS)
@pytest.mark.parametrize("sizes", [(5, 11, 21), (1,) * TIME])
@torch.no_grad()
def test_pieces_and_single_tokens_give_the_same(kind, changes, sizes):
    made, seen = model(kind, **changes), tokens(2, TIME)
    whole, after = made.residuals(seen)
    parts, state = [], None
    for piece in seen.split(list(sizes), dim=1):
        part, state = made.residuals(piece, state)
        parts.append(part)
    assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
    for name, tensor in after.tensors().items():
        assert_close(state.tensors()[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


def test_layers_differ_and_each_gets_gradient():
    made, seen = model(), tokens(2, 9)
    residuals, _ = made.residuals(seen)
    assert (residuals[:, :, 0] - residuals[:, :, 1]).abs().max() > 0.01
    residuals[:, :, 0].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in made.blocks[1].parameters())
    assert all(p.grad is not None for p in made.blocks[0].feed_forward.parameters())
