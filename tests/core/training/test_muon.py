"""Our Muon against torch's own, which differs in precision only."""

import copy

import pytest
import torch
from torch.testing import assert_close

from think.core.training.muon import Muon, orthogonalise

pytestmark = pytest.mark.train

COEFFICIENTS = (3.4445, -4.775, 2.0315)


def matrices():
    generator = torch.Generator().manual_seed(0)
    shapes = [(12, 20), (20, 12), (12, 20), (16, 16), (3, 40)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


OPTIONS = {"adjust_lr_fn": "match_rms_adamw", "nesterov": False, "weight_decay": 0.5, "ns_steps": 3, "momentum": 0.8}


@pytest.mark.parametrize(
    "options", [{}, *({name: value} for name, value in OPTIONS.items())], ids=["default", *OPTIONS]
)
def test_it_moves_as_torch_does_within_bfloat16(options):
    ours = matrices()
    theirs = copy.deepcopy(ours)
    optimizers = Muon(ours, lr=0.1, **options), torch.optim.Muon(theirs, lr=0.1, **options)
    for step in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=torch.Generator().manual_seed(step))
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, start in zip(ours, theirs, matrices(), strict=True):
        assert (mine - other).norm() < 0.03 * (other - start).norm()
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(optimizers[0].state[mine]["momentum_buffer"], optimizers[1].state[other]["momentum_buffer"])


def test_singular_values_come_near_one_and_vectors_stay():
    update = torch.randn(4, 24, 40, generator=torch.Generator().manual_seed(1)).double()
    result = orthogonalise(update, COEFFICIENTS, 5, 1e-7)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.2
    left, _, right = torch.linalg.svd(update, full_matrices=False)
    aligned = left.mT @ result @ right.mT
    assert (aligned - torch.diag_embed(aligned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-9


def test_a_matrix_alone_moves_as_among_others():
    together = orthogonalise(torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(2)), COEFFICIENTS, 5, 1e-7)
    alone = orthogonalise(torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(2))[1:2], COEFFICIENTS, 5, 1e-7)
    assert_close(together[1:2], alone)


def test_scale_of_the_gradient_does_not_matter():
    update = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(3))
    assert_close(
        orthogonalise(update, COEFFICIENTS, 5, 1e-7),
        orthogonalise(1000 * update, COEFFICIENTS, 5, 1e-7),
        rtol=1e-4,
        atol=1e-5,
    )
