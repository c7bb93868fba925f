"""How long a run will take on this machine: a range, since neither a step nor a neighbour's work is always the same.

A small model takes a few real steps, forward, backward, clipping and update in the precision of the run. For a large
one the time is reckoned from its operations and from how fast matrix products are here. Held-out evaluation is counted
as forward passes; the start of the process, checkpoints and the report are not.
"""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from think.core import seeding
from think.core.derive import RunPlan, language_loss_of
from think.core.device import Machine, multiply_rate
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking, build
from think.core.training.gradients import clip_gradients
from think.core.training.language import LanguageSettings
from think.core.training.loop import trainable
from think.core.training.optimizer import Optimizer, build_optimizer
from think.core.training.step import autocast

SMALL_ENOUGH_TO_TIME = 20_000_000
"Parameters up to which real steps are taken; above, time is derived from the rate of matrix products."

TIMED_STEPS = 4
"The first one warms up and is not counted."

LEAST_SHARE, MOST_SHARE = 0.2, 0.7
"""Of the rate of matrix products, what a training step reaches. On one AVX2 thread, by processor time: 0.45 for
cpu_small, 0.47 for transformer_2m, 0.29 for hybrid_8m with two rows of 256 and 0.6 without its optimizer, whose part
falls with the rows; with kernels in torch 0.21 for hybrid_8m (docs/log.md). An accelerator has not been measured."""

LONGER, SHORTER = 1.3, 0.9
"What a run may take beside the slowest and the quickest of the timed steps: lengths, health records, a warmer machine."

FORWARD_SHARE = 1 / 3
"Of a step, what a forward pass is: the backward pass does twice as much."


@dataclass(frozen=True)
class Estimate:
    """Seconds that a run takes: somewhere from `least` to `most`, most likely near `likely`."""

    least: float
    likely: float
    most: float


def estimate(plan: RunPlan, settings: LanguageSettings, model: ModelSettings, machine: Machine) -> Estimate:
    """How long the steps and evaluations of this plan take here. Moves no random stream."""
    tokens = plan.tokens + FORWARD_SHARE * held_out_tokens(plan, settings)
    if plan.parameters > SMALL_ENOUGH_TO_TIME:
        ideal = plan.flops_per_token * tokens / (multiply_rate(machine) * machine.processes)
        # the middle of a range of factors is their geometric mean
        return Estimate(ideal / MOST_SHARE, ideal / (MOST_SHARE * LEAST_SHARE) ** 0.5, ideal / LEAST_SHARE)
    taken, timed = _step_seconds(settings, model, machine)
    steps = tokens / timed / machine.processes
    return Estimate(min(taken) * steps * SHORTER, statistics.median(taken) * steps, max(taken) * steps * LONGER)


def held_out_tokens(plan: RunPlan, settings: LanguageSettings) -> int:
    """Tokens that all evaluations of a run read; the last one reads the whole split."""
    whole, asked = int(plan.data["validation_tokens"]), settings.evaluation
    times = 0 if asked.every is None else (plan.steps - 1) // asked.every
    return whole + times * (whole if asked.tokens is None else min(asked.tokens, whole))


def _step_seconds(settings: LanguageSettings, model: ModelSettings, machine: Machine) -> tuple[list[float], int]:
    """Seconds of steps on one micro-batch of made-up tokens, and its tokens."""
    with seeding.untouched(), torch.device(machine.torch_device):
        network = build(model)
        network.use_kernels(machine.kernels)
        optimizer = build_optimizer(settings.optimizer, network.roles(), trainable(network), settings.learning_rate)
        tokens = torch.zeros(settings.rows // settings.micro_batches, settings.longest, dtype=torch.long)
        taken = [_timed_step(network, optimizer, settings, tokens) for _ in range(TIMED_STEPS)]
    return taken[1:], tokens.numel()


def _timed_step(network: Thinking, optimizer: Optimizer, settings: LanguageSettings, tokens: Tensor) -> float:
    began = time.perf_counter()
    with autocast(tokens.device, settings.precision):
        loss = language_loss_of(network, tokens)
    loss.backward()
    clip_gradients(trainable(network).values(), settings.max_gradient_norm)
    # a rate of almost nothing: the arithmetic is the same, and made-up tokens cannot make the weights diverge
    optimizer.step(1e-6)
    optimizer.zero_grad()
    float(next(network.parameters()).detach().sum())  # waits for an accelerator
    return time.perf_counter() - began
