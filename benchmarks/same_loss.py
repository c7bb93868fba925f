"""The same loss in less time: kernels in C and in pure torch train the same model on the same tokens, step by step.

Each has a model from the same seed, an optimizer and a carried state of its own; they take the same batch one after the
other, in one process, so a busy moment meets both. A step is what the training loop does: forward, backward, clipping,
update. What it shows: how far the losses of the same step lie apart, which rounding alone should cause, how long a step
takes, and how long each took until it first stood at the loss that both reach, a mean over ten steps. Exit code 1 when
losses lie further apart than the tolerance.

    python benchmarks/same_loss.py [--preset cpu_smoke] [--data FOLDER] [--steps 200] [--threads 1]
                                   [--kernels auto chunked] [--set KEY=VALUE ...]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import torch

from think.core import seeding
from think.core.data.batches import Batch, Tracks
from think.core.data.store import Packed
from think.core.device import keep_freed_memory
from think.core.models import build
from think.core.settings import RunSettings
from think.core.training.gradients import clip_gradients
from think.core.training.loop import trainable
from think.core.training.optimizer import build_optimizer
from think.core.training.step import accumulate_gradients, forward_of
from think.presets.decode import decode
from think.presets.sources import read

TOLERANCE = 0.02
"""Nats that the losses of one step may lie apart. Rounding starts near 1e-6 and grows with the steps; a step that is
computed wrongly is far outside."""
SMOOTHED = 10
"Steps of the mean that says when a loss was reached."


class Trainee:
    """One model under training, with its losses and seconds."""

    def __init__(self, settings: RunSettings, kernels: str):
        seeding.start(settings.stage1.seed, "same_loss")
        self.settings = settings.stage1
        self.model = build(settings.model)
        self.model.use_kernels(kernels)
        self.model.train()
        self.parameters = trainable(self.model)
        rate = self.settings.learning_rate
        self.optimizer = build_optimizer(self.settings.optimizer, self.model.roles(), self.parameters, rate)
        self.forward = forward_of(self.model)
        self.state = self.model.initial_state(self.settings.rows).detach()
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.processor: list[float] = []
        "Seconds of processor time, of all threads: these other work on the machine does not stretch."

    def step(self, batch: Batch, factor: float) -> None:
        began, before = time.perf_counter(), time.process_time()
        outcome = accumulate_gradients(
            self.forward,
            batch,
            self.state,
            micro_batches=self.settings.micro_batches,
            entropy_bonus=self.settings.entropy_bonus,
            precision=self.settings.precision,
            look=None,
        )
        clip_gradients(self.parameters.values(), self.settings.max_gradient_norm)
        self.optimizer.step(factor)
        self.optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - before)
        self.losses.append(outcome.loss if outcome.loss is not None else float("nan"))
        self.state = outcome.state

    def smoothed(self) -> list[float]:
        return [
            statistics.fmean(self.losses[max(index + 1 - SMOOTHED, 0) : index + 1]) for index in range(len(self.losses))
        ]

    def seconds_to(self, loss: float) -> float:
        """Seconds of training until the smoothed loss first stood at or below this one."""
        reached = next(index for index, value in enumerate(self.smoothed()) if value <= loss)
        return sum(self.seconds[: reached + 1])


def packed(asked: argparse.Namespace, place: str) -> Packed:
    """The data that were named, else those that the preset packs from what ships with think."""
    if asked.data is not None:
        return Packed.open(Path(asked.data))
    command = [sys.executable, "-m", "think", "data", "pack", "--preset", asked.preset, "--out", f"{place}/data"]
    subprocess.run(command, check=True, capture_output=True)
    return Packed.open(Path(place) / "data")


def trained(asked: argparse.Namespace, settings: RunSettings, data: Packed) -> list[Trainee]:
    """All contestants after the last step; who goes first changes from step to step."""
    stage = settings.stage1
    tracks = Tracks(data.split("train"), stage.rows, stage.seed, stage.reset_period)
    clock = stage.clock()
    trainees = [Trainee(settings, name) for name in asked.kernels]
    for step in clock.remaining(0):
        batch = tracks.at(clock.position(step), clock.length(step))
        for trainee in trainees if step % 2 else reversed(trainees):
            trainee.step(batch, clock.factor(step))
        if step % max(stage.steps // 10, 1) == 0 or step == 1:
            losses = "  ".join(
                f"{name} {trainee.losses[-1]:.6f}" for name, trainee in zip(asked.kernels, trainees, strict=True)
            )
            print(f"  step {step:5d}  {losses}", flush=True)
    return trainees


def _spread(ratios: list[float]) -> str:
    low, high = statistics.quantiles(ratios, n=4)[::2]
    return f"{statistics.median(ratios):.3f} (quartiles {low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cpu_smoke")
    parser.add_argument("--data")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernels", nargs=2, default=["auto", "chunked"], metavar=("ONE", "OTHER"))
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    changes = [f"stage1.steps={asked.steps}", f"stage1.schedule.warmup={asked.steps // 10}", *asked.set]
    settings = decode(read(asked.preset, changes, {}, {}), RunSettings).settings
    with tempfile.TemporaryDirectory() as place:
        one, other = trained(asked, settings, packed(asked, place))
    names = asked.kernels
    apart = [abs(left - right) for left, right in zip(one.losses, other.losses, strict=True)]
    ratios = [left / right for left, right in zip(one.seconds, other.seconds, strict=True)]
    on_processor = [left / right for left, right in zip(one.processor, other.processor, strict=True)]
    reached = max(one.smoothed()[-1], other.smoothed()[-1])
    to_it = one.seconds_to(reached), other.seconds_to(reached)
    for name, trainee, seconds in zip(names, (one, other), to_it, strict=True):
        print(
            f"{name:8s} last loss {trainee.smoothed()[-1]:.4f}, a step {statistics.median(trainee.seconds):.4f} s, "
            f"{statistics.median(trainee.processor):.4f} s of the processor; {seconds:.1f} s to {reached:.4f}"
        )
    print(
        f"losses apart by at most {max(apart):.2e}, {apart[0]:.2e} at the first step, tolerance {TOLERANCE}\n"
        f"a step of {names[0]} takes {_spread(ratios)} of the time of {names[1]}, {_spread(on_processor)} of its "
        f"processor time; the same loss after {to_it[0] / to_it[1]:.3f} of the time"
    )
    figures: dict[str, Any] = {
        "preset": asked.preset,
        "threads": asked.threads,
        "kernels": names,
        "losses": [one.losses, other.losses],
        "seconds": [one.seconds, other.seconds],
        "processor": [one.processor, other.processor],
        "apart": max(apart),
        "step ratio": statistics.median(ratios),
        "processor ratio": statistics.median(on_processor),
        "same loss": {"loss": reached, "seconds": to_it},
    }
    print("written:", _report.write("same_loss", figures).name)
    if not max(apart) <= TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    main()
