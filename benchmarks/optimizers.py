"""AdamW against Muon + AdamW on the same tokens: held-out loss and time, with intervals over seeds.

Each cell is one training run from the same preset; only optimizer, rate and seed differ, so both optimizers read the
same tokens in the same order from the same start. Each has a peak rate of its own: that given by --rates, else the best
of a sweep in steps of two, which goes on until the best has a worse one on either side. The sweep has a seed of its
own, which no reported cell has, and judges by the mean loss of training over the last tenth of the steps: held-out text
plays no part in it. A cell that is finished is not run again, one that was interrupted goes on where it stopped.

    python benchmarks/optimizers.py --data FOLDER [--preset shakespeare_char] [--steps 150] [--seeds 3] [--into FOLDER]
                                    [--rates adamw=3e-3 muon=4e-3] [--threads 1] [--set KEY=VALUE ...]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

import _report

from think.core.statistics import compare, student
from think.core.telemetry.tail import read

KINDS = ("adamw", "muon")
FIRST_RATE = 4e-3
"Where the sweep begins, for both."
MOST_TRIALS = 7
SWEEP_SEED = 100


def cell(asked: argparse.Namespace, kind: str, seed: int, rate: float) -> dict[str, float]:
    """Loss and seconds of one run, which is made or finished if need be."""
    folder = Path(asked.into) / f"{kind}-{rate:g}-{seed}"
    result = folder / "result.json"
    if result.exists():
        found: dict[str, float] = json.loads(result.read_text())
        return found
    resumed = (folder / "settings.toml").exists()
    changes = {
        "stage1.optimizer.kind": kind,
        "stage1.learning_rate": rate,
        "stage1.seed": seed,
        "stage1.steps": asked.steps,
        "stage1.schedule.warmup": asked.steps // 10,
        "stage1.evaluation.every": asked.steps,
        "stage1.checkpoint.every": max(asked.steps // 4, 1),
        "runtime.threads": asked.threads,
    }
    command = [sys.executable, "-m", "think", "train", "stage1", "--out", str(folder)]
    if resumed:
        command.append("--resume")
    else:
        command += ["--preset", asked.preset, "--data", asked.data]
        told = [*asked.set, *(f"{key}={value}" for key, value in changes.items())]
        command += [word for change in told for word in ("--set", change)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    records = list(read(folder))
    loss = [record.number("loss") for record in records if record.kind == "eval"][-1]
    steps = [record for record in records if record.kind == "step"]
    last = [record.number("loss") or float("nan") for record in steps][-max(asked.steps // 10, 1) :]
    seconds = [record.number("seconds") or 0.0 for record in steps]
    found = {"loss": loss or float("nan"), "training": statistics.fmean(last), "seconds": sum(seconds)}
    result.write_text(json.dumps(found))
    return found


def best_rate(asked: argparse.Namespace, kind: str) -> tuple[float, dict[float, float]]:
    """The rate with the lowest training loss, and what was tried; its neighbours are half and twice of it."""
    tried: dict[float, float] = {}
    wanted = [FIRST_RATE / 2, FIRST_RATE, FIRST_RATE * 2]
    while wanted and len(tried) < MOST_TRIALS:
        for rate in wanted:
            loss = cell(asked, kind, SWEEP_SEED, rate)["training"]
            tried[rate] = loss if math.isfinite(loss) else math.inf
            print(f"{kind:6s} rate {rate:.2e}  training loss {loss:.4f}", flush=True)
        best = min(tried, key=tried.__getitem__)
        wanted = [rate for rate in (best / 2, best * 2) if rate not in tried]
    if wanted:
        print(f"{kind:6s} the best of {len(tried)} rates stands at the edge of what was tried")
    return best, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder that `think data pack` has written for the preset")
    parser.add_argument("--preset", default="shakespeare_char")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", default=[], help="KIND=RATE; a sweep for each that is left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--into", default=str(_report.RESULTS / "optimizers"))
    asked = parser.parse_args()
    rates = {name: float(rate) for name, _, rate in (text.partition("=") for text in asked.rates)}
    os.makedirs(asked.into, exist_ok=True)
    sweeps: dict[str, dict[float, float]] = {}
    for kind in KINDS:
        if kind not in rates:
            rates[kind], sweeps[kind] = best_rate(asked, kind)
    found = {kind: [cell(asked, kind, seed, rates[kind]) for seed in range(asked.seeds)] for kind in KINDS}
    for kind, cells in found.items():
        losses, seconds = ([each[what] for each in cells] for what in ("loss", "seconds"))
        print(
            f"{kind:6s} rate {rates[kind]:.2e}  held-out loss {student(losses)}  "
            f"steps take {statistics.median(seconds):.1f} s [{min(seconds):.1f}-{max(seconds):.1f}]"
        )
    by_seed = {kind: {seed: each["loss"] for seed, each in enumerate(cells)} for kind, cells in found.items()}
    change = compare(by_seed["muon"], by_seed["adamw"])
    longer = student(
        [one["seconds"] / other["seconds"] for one, other in zip(found["muon"], found["adamw"], strict=True)]
    )
    print(f"muon - adamw, paired by seed: loss {change.difference}: {change.verdict}; time {longer} of AdamW's")
    figures = {
        "rates": rates,
        "sweeps": sweeps,
        "steps": asked.steps,
        "cells": found,
        "change": change.as_json(),
        "time": longer.as_json(),
    }
    print("written:", _report.write("optimizers", figures).name)


if __name__ == "__main__":
    main()
