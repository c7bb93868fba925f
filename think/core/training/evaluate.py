"""Held-out loss: one deterministic pass over the split, the state handed from batch to batch as in training."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveInt

from think.core.data.batches import passes
from think.core.data.store import Split
from think.core.models.thinking import Thinking
from think.core.statistics import block_bootstrap_mean
from think.presets.base import Settings, knob


class EvaluationSettings(Settings):
    """Held-out evaluation while training; the last step is followed by one over the whole split."""

    every: PositiveInt | None = knob(100, acts_on="cadence", may_change_on_resume=True)
    "steps from one evaluation to the next; only the last one when absent"
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


@torch.no_grad()
def evaluate(model: Thinking, split: Split, rows: int, length: int, tokens: int | None = None) -> Score:
    """Mean loss of `model` on `split`, read in `rows` tracks by chunks of `length`; float32, nothing dropped out.

    tokens: stop once so many tokens are read; None reads all. Consumes no random numbers, leaves the mode as it was.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    state, read = None, 0
    blocks: list[tuple[float, float]] = []
    for batch in passes(split, rows, length):
        here = batch.to(device)
        hidden, state = model.hidden(here.tokens, state, here.reset)
        _, losses, _ = model.cross_entropy(hidden, here.targets, here.weights)
        weights = here.weights.flatten()
        blocks.append((float((losses.double() * weights).sum()), float(weights.sum())))
        read += batch.tokens.numel()
        if tokens is not None and read >= tokens:
            break
    model.train(was_training)
    scored = sum(weight for _, weight in blocks)
    return Score(sum(nats for nats, _ in blocks) / max(scored, 1.0), round(scored), tuple(blocks))
