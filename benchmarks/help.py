"""How long `think --help` takes, beside a bare Typer application with the same commands and help texts.

Whole processes, started alternately, so that a busy moment of the machine meets both. The goal is a ratio of medians of
at most 1.3. Prints a table and writes benchmarks/results/help.json.

    python benchmarks/help.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _report

from think.cli.app import COMMANDS

GOAL = 1.3


def bare_application() -> str:
    """The source of an application with our names and help texts, and nothing else."""
    lines = ["import typer", "app = typer.Typer(help='A terminal laboratory.')"]
    for index, (name, entry) in enumerate(COMMANDS.items()):
        lines += [f"@app.command({name!r}, help={entry.help!r})", f"def command{index}() -> None: ..."]
    return "\n".join([*lines, "app()", ""])


def seconds(command: list[str], environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main(rounds: int = 21) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(bare_application())
        plain = dict(os.environ)
        contestants = {
            "think --help": ([sys.executable, "-m", "think", "--help"], plain),
            "bare typer --help": ([sys.executable, str(bare), "--help"], plain),
            "bare typer --help, without rich": ([sys.executable, str(bare), "--help"], plain | {"TYPER_USE_RICH": "0"}),
            "python -c pass": ([sys.executable, "-c", "pass"], plain),
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for round_ in range(rounds + 1):
            for name, (command, environment) in contestants.items():
                spent = seconds(command, environment)
                if round_ > 0:  # the first round fills the disk cache and the byte code
                    times[name].append(spent)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["think --help"] / medians["bare typer --help"]
    for name, values in times.items():
        low, high = statistics.quantiles(values, n=4)[::2]
        print(
            f"{name:<34} median {medians[name] * 1000:6.1f} ms   quartiles {low * 1000:6.1f} to {high * 1000:6.1f} ms"
        )
    print(f"ratio {ratio:.2f} of {len(COMMANDS)} commands, {rounds} rounds; goal at most {GOAL}")
    _report.write("help", {"rounds": rounds, "ratio": ratio, "goal": GOAL, "seconds": times})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
