"""What a training step costs as texts, models and batches grow: time per token and memory, as tables and plots.

Time per token of the hybrid must not depend on the length of the text; a transformer of equal size stands beside it.
Every point of time is a median over alternating rounds; memory is the peak of a process of its own. With --write the
tables and plots go to docs/evidence/speed.md and the SVG files beside it.

    python benchmarks/scaling.py [--rounds 7] [--threads 2] [--write]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import numpy as np
import torch
from _models import Contestant, hybrid, peak_mebibytes, settings_of, size, transformer

from think.core.device import keep_freed_memory
from think.core.models.count import on_meta
from think.core.models.thinking import Settings
from think.core.plots import curves
from think.core.series import Series

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "speed.md"

TOKENS = 4096
"Tokens of a step while the length of its rows changes."
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
BATCHES = (1, 2, 4, 8, 16, 32)
ROW = 256
WIDTHS = (64, 128, 192, 256, 384)
NAMES = ("hybrid", "transformer")


def made(name: str, settings: Settings, rows: int, length: int) -> tuple[Contestant, torch.Tensor]:
    tokens = torch.randint(settings.vocabulary, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    if name == "hybrid":
        return hybrid(settings, torch.float32, tokens), tokens
    return transformer(size(on_meta(settings)), settings, torch.float32, length), tokens


def microseconds(points: list[tuple[int, Settings, int, int]], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Time per token of both at each (x, settings, rows, length), in rounds that alternate over all of them."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in NAMES}
    for x, settings, rows, length in points:
        pair = [made(name, settings, rows, length) for name in NAMES]
        for round_ in range(rounds + 2):
            for name, (contestant, tokens) in zip(NAMES, pair, strict=True):
                begin = time.perf_counter()
                contestant.step(tokens)
                if round_ >= 2:
                    found[name].setdefault(x, []).append((time.perf_counter() - begin) * 1e6 / rows / length)
        print(
            f"  {x:9,}  " + "  ".join(f"{n} {statistics.median(found[n][x]):8.1f} us/token" for n in NAMES), flush=True
        )
    return found


def mebibytes(points: list[tuple[int, int, int]], threads: int) -> dict[str, dict[int, list[float]]]:
    """Peak memory of both at each (x, rows, length), each in a process of its own."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in NAMES}
    for x, rows, length in points:
        for name in NAMES:
            command = [sys.executable, __file__, "--one", name, str(rows), str(length), "--threads", str(threads)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name][x] = [json.loads(answer)]
        print(f"  {x:9,}  " + "  ".join(f"{n} {found[n][x][0]:8.0f} MiB" for n in NAMES), flush=True)
    return found


def peak(name: str, rows: int, length: int) -> float:
    """Peak resident memory of this process after three steps, in MiB."""
    contestant, tokens = made(name, settings_of("cpu_small"), rows, length)
    for _ in range(3):
        contestant.step(tokens)
    return peak_mebibytes()


def wider(width: int) -> Settings:
    """`cpu_small` at another width, its heads 64 wide as before."""
    heads = max(width // 64, 1)
    return settings_of(
        "cpu_small",
        (f"model.width={width}", f"model.mixer.rwkv.heads={heads}", f"model.feed_forward.inner={width * 37 // 8}"),
    )


def studies(rounds: int, threads: int) -> dict[str, dict[str, Any]]:
    """All studies by name: title, axes, and what was found."""
    small = settings_of("cpu_small")
    grown = {size(on_meta(wider(width))): wider(width) for width in WIDTHS}
    made_of: dict[str, tuple[str, str, str, Callable[[], dict[str, dict[int, list[float]]]]]] = {
        "length": (
            "Time per token against the length of the text",
            f"tokens of a row, {TOKENS:,} in a step",
            "microseconds per token",
            lambda: microseconds([(t, small, TOKENS // t, t) for t in LENGTHS], rounds),
        ),
        "parameters": (
            "Time per token against parameters",
            "parameters",
            "microseconds per token",
            lambda: microseconds([(count, each, 8, ROW) for count, each in grown.items()], rounds),
        ),
        "batch": (
            "Time per token against the batch",
            f"rows of {ROW} tokens",
            "microseconds per token",
            lambda: microseconds([(rows, small, rows, ROW) for rows in BATCHES], rounds),
        ),
        "memory-length": (
            "Peak memory against the length of the text",
            "tokens of each of 8 rows",
            "MiB",
            lambda: mebibytes([(t, 8, t) for t in LENGTHS if t <= 2048], threads),
        ),
        "memory-batch": (
            "Peak memory against the batch",
            f"rows of {ROW} tokens",
            "MiB",
            lambda: mebibytes([(rows, rows, ROW) for rows in BATCHES], threads),
        ),
    }
    found = {}
    for name, (title, across, label, run) in made_of.items():
        print(title, flush=True)
        found[name] = {"title": title, "across": across, "label": label, "values": run()}
    return found


def page(found: dict[str, dict[str, Any]], threads: int, rounds: int) -> str:
    """The document, with tables of medians and links to the plots."""
    machine = _report.machine()
    lines = [
        "# Speed and memory of a training step",
        "",
        f"Written by `python benchmarks/scaling.py --rounds {rounds} --threads {threads} --write`; do not edit. "
        f"{machine['processor']}, {threads} threads, Python {machine['python']}, torch {machine['torch']}, "
        f"commit {machine['commit']}. `cpu_small` in float32 beside a minimal transformer with as many parameters; "
        f"medians of {rounds} alternating rounds, memory of one process each.",
    ]
    for study_name, study in found.items():
        values = study["values"]
        lines += ["", f"## {study['title']}", "", f"![{study['title']}](speed-{study_name}.svg)", ""]
        heads = " | ".join(f"{name}, {study['label']}" for name in NAMES)
        lines += [f"| {study['across']} | {heads} |", "|---|---|---|"]
        for x in values[NAMES[0]]:
            cells = " | ".join(f"{statistics.median(values[n][x]):,.1f}" for n in NAMES)
            lines.append(f"| {x:,} | {cells} |")
    return "\n".join(lines) + "\n"


def drawn(study: dict[str, Any]) -> bytes:
    lines = {
        name: Series(np.array(list(by_x)), np.array([statistics.median(taken) for taken in by_x.values()]))
        for name, by_x in study["values"].items()
    }
    return curves(lines, across=study["across"], label=study["label"], logarithmic=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--write", action="store_true", help="write docs/evidence/speed.md and its plots")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "ROWS", "LENGTH"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.one:
        name, rows, length = asked.one
        print(json.dumps(peak(name, int(rows), int(length))))
        return
    keep_freed_memory()
    found = studies(asked.rounds, asked.threads)
    if asked.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(found, asked.threads, asked.rounds))
        for name, study in found.items():
            PAGE.with_name(f"speed-{name}.svg").write_bytes(drawn(study))
        print("written:", PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE.name)
    print("written:", _report.write("scaling", {"threads": asked.threads, "studies": found}).name)


if __name__ == "__main__":
    main()
