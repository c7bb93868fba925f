"""What a training step costs as texts, models and batches grow: time per token and memory, as tables and plots.

Time per token of the hybrid must not depend on the length of the text; a transformer of equal size stands beside it.
Time is processor time, summed over threads, which other work on the machine stretches little; every point is a median
over alternating rounds. Memory is the peak of a process of its own. With --write the
tables and plots go to docs/evidence/speed.md and the SVG files beside it. --brief takes three points of each study
and three rounds: a minute of processor time, for a machine that is busy; the page says so.

    python benchmarks/scaling.py [--rounds 7] [--threads 2] [--brief] [--studies NAME ...] [--write]
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import numpy as np
import torch
from _models import Contestant, hybrid, peak_mebibytes, settings_of, size, transformer

from think.core.device import available_cores, keep_freed_memory
from think.core.models.count import shapes
from think.core.models.thinking import Settings
from think.core.plots import curves
from think.core.series import Series

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "speed.md"

ROWS, ROW = 8, 256
"Rows of a step while their length changes, and their length while something else does: one long row is no batch."

WARM_UP = 1
BUSY = 1.5
"Work that waits for each core of the machine, beyond which the page says that figures were made beside other work."


@dataclass(frozen=True)
class Points:
    """Where the studies measure."""

    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    widths: tuple[int, ...]


FULL = Points((64, 128, 256, 512, 1024, 2048, 4096), (1, 2, 4, 8, 16, 32), (64, 128, 192, 256, 384))
BRIEF = Points((64, 512, 2048), (1, 4, 16), (64, 128, 256))
BRIEF_ROUNDS = 3
STUDIES = ("length", "parameters", "batch", "memory-length", "memory-batch")
NAMES = ("hybrid", "transformer")


def made(name: str, settings: Settings, rows: int, length: int) -> tuple[Contestant, torch.Tensor]:
    tokens = torch.randint(settings.vocabulary, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    if name == "hybrid":
        return hybrid(settings, torch.float32, tokens), tokens
    return transformer(size(shapes(settings)), settings, torch.float32, length), tokens


def microseconds(points: list[tuple[int, Settings, int, int]], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Processor time per token of both at each (x, settings, rows, length), in rounds that alternate between them."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in NAMES}
    for x, settings, rows, length in points:
        pair = [made(name, settings, rows, length) for name in NAMES]
        for round_ in range(rounds + WARM_UP):
            for name, (contestant, tokens) in zip(NAMES, pair, strict=True):
                begin = time.process_time()
                contestant.step(tokens)
                if round_ >= WARM_UP:
                    found[name].setdefault(x, []).append((time.process_time() - begin) * 1e6 / rows / length)
        print(
            f"  {x:9,}  " + "  ".join(f"{n} {statistics.median(found[n][x]):8.1f} us/token" for n in NAMES), flush=True
        )
    return found


def mebibytes(points: list[tuple[int, int, int]], threads: int) -> dict[str, dict[int, list[float]]]:
    """Peak memory of both at each (x, rows, length), each in a process of its own."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in NAMES}
    for x, rows, length in points:
        for name in NAMES:
            # a fresh process for each, from a server that has imported torch and done nothing with it
            with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as one:
                found[name][x] = [one.submit(peak, name, rows, length, threads).result()]
        print(f"  {x:9,}  " + "  ".join(f"{n} {found[n][x][0]:8.0f} MiB" for n in NAMES), flush=True)
    return found


def peak(name: str, rows: int, length: int, threads: int) -> float:
    """Peak resident memory of this process after three steps, in MiB."""
    torch.set_num_threads(threads)
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


def studies(points: Points, rounds: int, threads: int, wanted: list[str]) -> dict[str, dict[str, Any]]:
    """All studies by name: title, axes, and what was found."""
    small = settings_of("cpu_small")
    grown = {size(shapes(wider(width))): wider(width) for width in points.widths}
    made_of: dict[str, tuple[str, str, str, Callable[[], dict[str, dict[int, list[float]]]]]] = {
        "length": (
            "Processor time per token against the length of the text",
            f"tokens of each of {ROWS} rows",
            "microseconds of processor time per token",
            lambda: microseconds([(t, small, ROWS, t) for t in points.lengths], rounds),
        ),
        "parameters": (
            "Processor time per token against parameters",
            "parameters",
            "microseconds of processor time per token",
            lambda: microseconds([(count, each, ROWS, ROW) for count, each in grown.items()], rounds),
        ),
        "batch": (
            "Processor time per token against the batch",
            f"rows of {ROW} tokens",
            "microseconds of processor time per token",
            lambda: microseconds([(rows, small, rows, ROW) for rows in points.batches], rounds),
        ),
        "memory-length": (
            "Peak memory against the length of the text",
            f"tokens of each of {ROWS} rows",
            "MiB",
            lambda: mebibytes([(t, ROWS, t) for t in points.lengths if t <= 2048], threads),
        ),
        "memory-batch": (
            "Peak memory against the batch",
            f"rows of {ROW} tokens",
            "MiB",
            lambda: mebibytes([(rows, rows, ROW) for rows in points.batches], threads),
        ),
    }
    found = {}
    for name, (title, across, label, run) in made_of.items():
        if name not in wanted:
            continue
        print(title, flush=True)
        found[name] = {"title": title, "across": across, "label": label, "values": run()}
    return found


def page(found: dict[str, dict[str, Any]], threads: int, rounds: int, brief: bool, load: float) -> str:
    """The document, with tables of medians and links to the plots."""
    machine = _report.machine()
    lines = [
        "# Speed and memory of a training step",
        "",
        f"Written by `python benchmarks/scaling.py --rounds {rounds} --threads {threads}{' --brief' * brief} --write`; "
        f"do not edit. {machine['processor']}, {threads} threads, Python {machine['python']}, "
        f"torch {machine['torch']}, commit {machine['commit']}. `cpu_small` in float32 beside a minimal transformer "
        f"with as many parameters; medians of {rounds} alternating rounds, memory of one process each.",
    ]
    if load > BUSY:
        lines += [
            "",
            f"**Other work ran beside this**: {load:.1f} processes for each core of the machine, on average. Shared "
            "caches stretch even processor time then; write the page again on a quiet machine before quoting a time.",
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
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--write", action="store_true", help="write docs/evidence/speed.md and its plots")
    parser.add_argument("--brief", action="store_true", help="three points of each study, three rounds")
    asked = parser.parse_args()
    rounds = asked.rounds or (BRIEF_ROUNDS if asked.brief else 7)
    torch.set_num_threads(asked.threads)
    multiprocessing.set_forkserver_preload(["torch", "think.core.settings"])
    keep_freed_memory()
    found = studies(BRIEF if asked.brief else FULL, rounds, asked.threads, asked.studies)
    load = os.getloadavg()[1] / available_cores()
    if asked.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(found, asked.threads, rounds, asked.brief, load))
        for name, study in found.items():
            PAGE.with_name(f"speed-{name}.svg").write_bytes(drawn(study))
        print("written:", PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE.name)
    print("written:", _report.write("scaling", {"threads": asked.threads, "load": load, "studies": found}).name)


if __name__ == "__main__":
    main()
