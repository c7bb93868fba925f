"""Held-out loss: one deterministic pass over the split, the state handed from batch to batch as in training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from think.core.data.batches import Batch, passes
from think.core.data.store import Split
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import ALONE, Group
from think.core.statistics import block_bootstrap_mean
from think.core.training.cadence import EvaluationCadence
from think.presets.base import knob


class EvaluationSettings(EvaluationCadence):
    """Held-out evaluation while training; the last step is followed by one over the whole split."""

    rows: PositiveInt = knob(8, acts_on="evaluation")
    "contiguous tracks that the held-out text is read in"
    tokens: PositiveInt | None = knob(None, acts_on="evaluation")
    "tokens of an evaluation while training, from the head of every track; all of them when absent"


@dataclass(frozen=True)
class Score:
    """loss: nats per scored token.   tokens: how many.   blocks: (nats, tokens) of each batch, in reading order."""

    loss: float
    tokens: int
    blocks: tuple[tuple[float, float], ...]

    def as_json(self) -> dict[str, Any]:
        return {"loss": self.loss, "tokens": self.tokens}

    def as_record(self) -> dict[str, Any]:
        """The same for the record of an evaluation, with the interval where there is one."""
        low, high = self.interval
        return self.as_json() | ({"interval": [low, high]} if math.isfinite(low) and math.isfinite(high) else {})

    @property
    def block_losses(self) -> list[float]:
        """Mean nats per token of each block that has scored tokens."""
        return [nats / weight for nats, weight in self.blocks if weight > 0]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the block bootstrap of the loss; infinite ends when there are too few blocks to tell."""
        losses = self.block_losses
        if len(losses) < 2 or not all(map(math.isfinite, losses)):
            return -math.inf, math.inf
        found = block_bootstrap_mean(losses, weights=[weight for _, weight in self.blocks if weight > 0])
        return found.low, found.high


Judge = Callable[[Batch, State | None], tuple[Tensor, State]]
"batch, state -> losses of its tokens [B * T], state"


def judge_of(model: Thinking) -> Judge:
    """The model's losses, in nats, as it is called in one process."""

    def judge(batch: Batch, state: State | None) -> tuple[Tensor, State]:
        hidden, after = model.hidden(batch.tokens, state, batch.reset)
        return model.cross_entropy(hidden, batch.targets, batch.weights)[1], after

    return judge


@torch.no_grad()
def evaluate(
    model: Thinking,
    split: Split,
    rows: int,
    length: int,
    tokens: int | None = None,
    *,
    group: Group = ALONE,
    judge: Judge | None = None,
    start: State | None = None,
) -> Score:
    """Mean loss of `model` on `split`, read in `rows` tracks by chunks of `length`; float32, nothing dropped out.

    tokens: stop once so many tokens are read; None reads all. Consumes no random numbers, leaves the mode as it was.
    group: processes among which the tracks are divided; all get the loss over all of them. judge, start: how the
    model is called and what its streams start from, where it is not called as usual.
    """
    device = next(model.parameters()).device
    judge = judge or judge_of(model)
    was_training = model.training
    model.eval()
    mine = group.rows(rows)
    spare = mine.stop == mine.start  # more processes than tracks: this one goes along, and counts for nothing
    state, read = start, 0
    sums: list[Tensor] = []
    for batch in passes(split, rows, length, slice(0, 1) if spare else mine):
        losses, state = judge(batch.to(device), state)
        weights = batch.weights.to(device).flatten() * (0.0 if spare else 1.0)
        sums.append(torch.stack([(losses.double() * weights).sum(), weights.double().sum()]).to("cpu"))
        read += rows * length
        if tokens is not None and read >= tokens:
            break
    model.train(was_training)
    blocks = tuple((nats, weight) for nats, weight in group.sum(torch.stack(sums)).tolist())
    scored = sum(weight for _, weight in blocks)
    return Score(sum(nats for nats, _ in blocks) / max(scored, 1.0), round(scored), blocks)
