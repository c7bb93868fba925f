"""Twenty steps of each mixer give the losses that they gave before: nothing moves numbers unnoticed.

After a change that is meant to move them: `python -m tests.golden.test_losses` writes the new ones; say why, with
before and after, in docs/log.md.
"""

import json
from pathlib import Path

import pytest
import torch

from tests.core.models.examples import VOCABULARY, resets, settings, tokens
from think.core import plugins, seeding
from think.core.data.batches import Batch
from think.core.models import build
from think.core.models.thinking import MIXERS
from think.core.training.gradients import clip_gradients
from think.core.training.loop import trainable
from think.core.training.optimizer import MuonSettings, build_optimizer
from think.core.training.step import accumulate_gradients, forward_of

GOLDEN = Path(__file__).with_name("losses.json")
STEPS, ROWS, LENGTH = 20, 4, 24

pytestmark = pytest.mark.train


def losses(kind: str) -> list[float]:
    """Training losses of a tiny model on a short text that repeats, the state handed from step to step."""
    seeding.start(1, "golden", kind)
    model = build(settings(kind))
    parameters = trainable(model)
    optimizer = build_optimizer(MuonSettings(), model.roles(), parameters, 0.01)
    text, reset = tokens(ROWS, LENGTH + 1, seed=3) % (VOCABULARY // 2), resets(ROWS, LENGTH)
    batch = Batch(text[:, :-1], text[:, 1:], torch.ones(ROWS, LENGTH), reset)
    state, found = model.initial_state(ROWS).detach(), []
    for _ in range(STEPS):
        outcome = accumulate_gradients(
            forward_of(model), batch, state, micro_batches=2, entropy_bonus=0.01, precision="float32", look=None
        )
        clip_gradients(parameters.values(), 1.0)
        optimizer.step(1.0)
        optimizer.zero_grad()
        state = outcome.state
        found.append(outcome.loss)
    return found


@pytest.mark.parametrize(("kind", "before"), json.loads(GOLDEN.read_text(encoding="utf-8")).items())
def test_the_losses_are_those_of_before(kind: str, before: list[float]) -> None:
    found = losses(kind)
    assert found == pytest.approx(before, rel=1e-3), "processors differ in the last bits, and no further"
    assert found[-1] < found[0] - 0.3, "a run that learns nothing could not show a change"


if __name__ == "__main__":
    rounded = {kind: [round(loss, 6) for loss in losses(kind)] for kind in plugins.names(MIXERS)}
    GOLDEN.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
