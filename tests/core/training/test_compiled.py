"""Blocks under torch.compile: the same numbers, and a number of graphs that more batches do not raise."""

import pytest
import torch
from torch._dynamo.utils import counters

from think.core.data.batches import Batch
from think.core.device import RuntimeSettings, compile_each, resolve
from think.core.models.thinking import Settings, Thinking, build
from think.core.training.step import accumulate_gradients, forward_of

pytestmark = [pytest.mark.train, pytest.mark.slow]

PERIOD = 8
MEMORY = {"h0": True, "h0_deviation": 0.5, "norm": {"groups": 2, "period": PERIOD}}
MODEL = {
    "vocabulary": 20,
    "width": 8,
    "layers": 2,
    "mixer": {"kind": "rwkv6", "heads": 2, "mix_rank": 2, "decay_rank": 2, "memory": MEMORY},
    "feed_forward": {"kind": "gelu", "inner": 8},
    "gamma": 0.5,
}
LENGTHS = (16, 16, 12, 20, 16, 11)
"Tokens of each step: a multiple of the period, then lengths of a curriculum that StateNorm cuts at other places."

GRAPHS = 2
"One for the first length, one for all others."


def batch(step: int, length: int) -> Batch:
    random = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 20, (2, length + 1), generator=random)
    reset = torch.rand(2, length, generator=random) < (0.2 if step % 3 else 0.0)  # each third batch has none
    return Batch(tokens[:, :-1], tokens[:, 1:], torch.ones(2, length), reset)


def fresh() -> Thinking:
    torch.manual_seed(0)
    return build(Settings.model_validate(MODEL))


def test_same_losses_and_gradients_from_few_graphs() -> None:
    torch._dynamo.reset()
    counters.clear()
    resolve(RuntimeSettings(device="cpu", threads=1))
    plain, compiled = fresh(), fresh()
    compile_each(compiled.blocks, "default", backend="aot_eager")
    states = [model.initial_state(2).detach() for model in (plain, compiled)]
    for step, length in enumerate(LENGTHS):
        outcomes = [
            accumulate_gradients(
                forward_of(model),
                batch(step, length),
                state,
                micro_batches=1,
                entropy_bonus=0.0,
                precision="float32",
                look=None,
            )
            for model, state in zip((plain, compiled), states, strict=True)
        ]
        states = [outcome.state for outcome in outcomes]
        assert outcomes[0].loss == pytest.approx(outcomes[1].loss, rel=1e-5)
        for one, other in zip(states[0].tensors().values(), states[1].tensors().values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
            if one.grad is None:
                assert other.grad is None or not other.grad.any(), name
            else:
                torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)
    assert counters["stats"]["unique_graphs"] == GRAPHS
    assert not counters["graph_break"]
