"""AdamW against Muon + AdamW on the same tokens: held-out loss and time, with intervals over seeds.

Each cell is one training run from the same preset; only `stage1.optimizer` and the seed differ, so both optimizers read
the same tokens in the same order from the same start. The rates are those given: by default the peak that was best for
each in a sweep of three. A cell that is finished is not run again, one that was interrupted goes on where it stopped.

    python benchmarks/optimizers.py --data FOLDER [--preset shakespeare_char] [--steps 150] [--seeds 3] [--into FOLDER]
                                    [--rates adamw=3e-3 muon=4e-3] [--sweep]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import _report

from think.core.statistics import compare, student
from think.core.telemetry.tail import read

KINDS = ("adamw", "muon")
RATES = {"adamw": 3e-3, "muon": 4e-3}
SWEEP = (0.5, 1.0, 2.0)
"Multiples of each rate that --sweep tries with the first seed."


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
    }
    command = [sys.executable, "-m", "think", "train", "stage1", "--out", str(folder)]
    if resumed:
        command.append("--resume")
    else:
        command += ["--preset", asked.preset, "--data", asked.data]
        command += [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    records = list(read(folder))
    loss = [record.number("loss") for record in records if record.kind == "eval"][-1]
    steps = [record.number("seconds") for record in records if record.kind == "step"]
    found = {"loss": loss or float("nan"), "seconds": sum(value or 0.0 for value in steps)}
    result.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder that `think data pack` has written for the preset")
    parser.add_argument("--preset", default="shakespeare_char")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", default=[])
    parser.add_argument("--sweep", action="store_true", help="first look for the better rate of each, by one seed")
    parser.add_argument("--into", default=str(_report.RESULTS / "optimizers"))
    asked = parser.parse_args()
    rates = RATES | {name: float(rate) for name, _, rate in (text.partition("=") for text in asked.rates)}
    os.makedirs(asked.into, exist_ok=True)
    if asked.sweep:
        for kind in KINDS:
            tried = {factor: cell(asked, kind, 0, rates[kind] * factor)["loss"] for factor in SWEEP}
            best = min(tried, key=tried.__getitem__)
            for factor, loss in tried.items():
                print(f"{kind:6s} rate {rates[kind] * factor:.2e}  loss {loss:.4f}{'  <' if factor == best else ''}")
            rates[kind] *= best
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
        "steps": asked.steps,
        "cells": found,
        "change": change.as_json(),
        "time": longer.as_json(),
    }
    print("written:", _report.write("optimizers", figures).name)


if __name__ == "__main__":
    main()
