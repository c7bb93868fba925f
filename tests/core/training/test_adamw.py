"""Our AdamW against torch's own, bit for bit, and what it leaves unimported."""

import copy
import subprocess
import sys

import pytest
import torch

from think.core.training.adamw import AdamW

pytestmark = pytest.mark.train


@pytest.mark.parametrize("fused", [True, False])
def test_it_moves_as_torch_does_to_the_bit(fused: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(12, 20), (7,), (3, 1, 5)]]
    theirs = copy.deepcopy(ours)
    options = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3, "fused": fused, "foreach": None}
    optimizers = AdamW(ours, **options), torch.optim.AdamW(theirs, **options)
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        for what, held in optimizers[1].state[other].items():
            assert torch.equal(optimizers[0].state[mine][what], held)
    for optimizer in optimizers:
        optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in (*ours, *theirs))


def test_groups_and_mistakes_are_torchs() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="Invalid learning rate"):
        AdamW([weight], lr=-1.0)
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        AdamW([{"params": [weight]}, {"params": [weight]}])
    with pytest.raises(ValueError, match="closure"):
        AdamW([weight]).step(lambda: 0.0)


STEPS = """
import sys
import torch
from think.core.training.adamw import AdamW
from think.core.training.muon import Muon
weight = torch.nn.Parameter(torch.ones(2, 2))
weight.grad = torch.ones(2, 2)
for optimizer in (AdamW([weight], fused=True), AdamW([weight], foreach=False), Muon([weight], lr=0.1)):
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_the_compiler_is_not_imported() -> None:
    assert subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True).stdout == "False\n"
