"""How long `think train` takes until its first step begins, beside `import torch` and reading the data.

Whole processes, started alternately. A run writes `run_start` when model, optimizer and data stand ready and the first
step is next; its time of day is compared with that of the start of the process. Goal: at most 1.2 times the sum of
`import torch` and opening and checking the data in the same way. Byte code is kept, as it is where think is installed,
in a folder of its own; the round that writes it does not count.

    python benchmarks/start.py [--rounds 7] [--preset cpu_smoke] [--data FOLDER] [--set KEY=VALUE ...]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _report

from think.core.telemetry.tail import read

GOAL = 1.2

READING = """
import sys, time
import torch
from pathlib import Path
from think.core.data.store import Packed
began = time.perf_counter()
Packed.open(Path(sys.argv[1])).verify()
print(time.perf_counter() - began)
"""


Environment = dict[str, str]


def until_the_first_step(arguments: list[str], folder: Path, environment: Environment) -> float:
    """Seconds from the start of a process to the `run_start` of its run."""
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "think", "train", "stage1", *arguments, "--set", "stage1.steps=1", "--out", str(folder)],
        check=True,
        capture_output=True,
        env=environment,
    )
    return next(record.time for record in read(folder) if record.kind == "run_start") - began


def importing(environment: Environment) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True, env=environment)
    return time.perf_counter() - began


def reading(data: str, environment: Environment) -> float:
    command = [sys.executable, "-c", READING, data]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--preset", default="cpu_smoke")
    parser.add_argument("--data")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": str(Path(place) / "bytes"), "PYTHONDONTWRITEBYTECODE": ""}
        data = asked.data
        if data is None:
            data = str(Path(place) / "data")
            pack = ["-m", "think", "data", "pack", "--preset", asked.preset, "--out", data]
            subprocess.run([sys.executable, *pack], check=True, capture_output=True)
        arguments = ["--preset", asked.preset, "--data", data, "--set", "stage1.schedule.warmup=0"]
        arguments += [word for change in asked.set for word in ("--set", change)]
        seconds: dict[str, list[float]] = {"think train": [], "import torch": [], "data": []}
        for round_ in range(asked.rounds + 1):
            taken = (
                until_the_first_step(arguments, Path(place) / f"run-{round_}", environment),
                importing(environment),
                reading(data, environment),
            )
            if round_:  # the first round fills the disk cache and the byte code
                for name, value in zip(seconds, taken, strict=True):
                    seconds[name].append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name:14s} median {medians[name]:6.3f} s [{min(values):.3f}-{max(values):.3f}]")
    ratio = medians["think train"] / (medians["import torch"] + medians["data"])
    print(f"ratio {ratio:.2f}, {asked.rounds} rounds; goal at most {GOAL}")
    print("written:", _report.write("start", {"seconds": seconds, "ratio": ratio, "goal": GOAL}).name)


if __name__ == "__main__":
    main()
