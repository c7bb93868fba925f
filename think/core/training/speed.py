"""How long a training step takes, on made-up tokens: no data, no run folder, nothing written.

A timed step is what the loop does at each step and nothing else: forward, backward, clipping, update.

R rows  T length
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from think.core import seeding
from think.core.data.batches import Batch
from think.core.device import Machine, compile_each, prepare
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.training.gradients import clip_gradients
from think.core.training.language import LanguageSettings
from think.core.training.loop import trainable
from think.core.training.optimizer import build_optimizer
from think.core.training.step import accumulate_gradients, forward_of

WARM_UP = 2
"Steps before the first timed one: allocators fill, compilers compile, optimizers make their buffers."

FEWEST_STEPS = 7
"Fewer timed steps give a median that one busy moment can move."

DOCUMENT = 256
"Mean tokens from one reset to the next: stories and chat turns are about so long."

MEBIBYTE = 2**20


@dataclass(frozen=True)
class StepSpeed:
    """Milliseconds of one optimizer step over `steps` of them, and the process's resident memory in MiB."""

    parameters: int
    rows: int
    length: int
    micro_batches: int
    precision: str
    threads: int
    device: str
    kernels: dict[str, str]
    steps: int
    median: float
    least: float
    most: float
    tokens_per_second: float
    resident_before: float
    "before the model was built: interpreter and libraries"
    resident: float
    "the most that was seen after a step"


def measure(
    model_settings: ModelSettings,
    settings: LanguageSettings,
    machine: Machine,
    *,
    steps: int = FEWEST_STEPS,
    watcher: Callable[[], None] = lambda: None,
) -> StepSpeed:
    """Train for WARM_UP + `steps` steps on random tokens and time the latter; `watcher` is called after each.

    Raises ValueError for fewer than FEWEST_STEPS steps.
    """
    if steps < FEWEST_STEPS:
        raise ValueError(f"{steps} steps are too few for a median, expected at least {FEWEST_STEPS}")
    prepare(machine)
    before = _resident()
    seeding.start(settings.seed, "speed", "initialisation")
    with torch.device(machine.torch_device):
        model = build(model_settings)
    model.use_kernels(machine.kernels)
    compile_each(model.blocks, machine.compile)
    model.train()
    parameters = trainable(model)
    optimizer = build_optimizer(settings.optimizer, model.roles(), parameters, settings.learning_rate)
    forward = forward_of(model)
    state = model.initial_state(settings.rows).detach()
    milliseconds, most = [], 0.0
    for step in range(WARM_UP + steps):
        batch = _batch(settings, model_settings.vocabulary, step).to(machine.torch_device)
        _finish(machine)
        began = time.perf_counter()
        outcome = accumulate_gradients(
            forward,
            batch,
            state,
            micro_batches=settings.micro_batches,
            entropy_bonus=settings.entropy_bonus,
            precision=settings.precision,
            look=None,
        )
        clip_gradients(parameters.values(), settings.max_gradient_norm)
        # A rate of almost nothing: the arithmetic is the same, and random tokens can't make the model diverge.
        optimizer.step(1e-6)
        optimizer.zero_grad()
        _finish(machine)
        if step >= WARM_UP:
            milliseconds.append((time.perf_counter() - began) * 1e3)
        state = outcome.state
        most = max(most, _resident())
        watcher()
    median = statistics.median(milliseconds)
    return StepSpeed(
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        rows=settings.rows,
        length=settings.length,
        micro_batches=settings.micro_batches,
        precision=settings.precision,
        threads=machine.threads,
        device=machine.device,
        kernels=dict(machine.kernels_became),
        steps=steps,
        median=median,
        least=min(milliseconds),
        most=max(milliseconds),
        tokens_per_second=settings.rows * settings.length / median * 1e3,
        resident_before=before,
        resident=most,
    )


def _batch(settings: LanguageSettings, vocabulary: int, step: int) -> Batch:
    """Random tokens with a reset every DOCUMENT tokens or so; the first one of all is a reset, as in a run."""
    random = seeding.generator(settings.seed, "speed", "tokens", step)
    shape = (settings.rows, settings.length)
    tokens = torch.randint(vocabulary, (settings.rows, settings.length + 1), generator=random)
    reset = torch.rand(shape, generator=random) < 1 / DOCUMENT
    reset[:, 0] |= step == 0
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), torch.ones(shape), reset)


def _finish(machine: Machine) -> None:
    """Wait for the device: accelerators work on after a call has returned."""
    if machine.torch_device.type == "cuda":
        torch.cuda.synchronize(machine.torch_device)
    elif machine.torch_device.type == "mps":
        torch.mps.synchronize()


def _resident() -> float:
    return psutil.Process().memory_info().rss / MEBIBYTE
