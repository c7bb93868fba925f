"""Runs of any length for benchmarks of the monitor: the writer's own lines, with other numbers in them."""

import os
import random
import shutil
import time
from pathlib import Path

from think.core.telemetry.process import identity
from think.core.telemetry.records import Record, encode
from think.core.telemetry.writer import LARGEST_SEGMENT, Writer, segments

EVALUATED_EVERY = 500
SECONDS = 0.02
DEAD_PID = 2**22 + 5
"Larger than any process id."
SPIKE = 777.0

_MARKS = {
    "loss": 1.5,
    "objective": 2.5,
    "learning_rate": 3.5,
    "gradient_norm": 4.5,
    "tokens": 777001,
    "tokens_per_second": 5.5,
    "seconds": 6.5,
    "length": 256,
    "entropy": 7.5,
    "h0_gradient": 8.5,
}


def make(folder: Path, steps: int) -> Path:
    """A run of so many step records, ten figures each, whose process is dead; made once and kept.

    One step in the middle has a loss of SPIKE, and there is an evaluation every 500 steps.
    """
    run = folder / f"run-{steps}"
    if run.exists():
        return run
    new = folder / f".run-{steps}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    choose, begun, line = random.Random(0), time.time() - steps * SECONDS, _template()
    start = identity().as_json() | {"pid": DEAD_PID, "stage": "stage1", "preset": "cpu_smoke", "steps": 2 * steps}
    first = encode(Record("run_start", None, start | {"resumed_from_step": None}, run=run.name, time=begun))

    def lines(step: int) -> bytes:
        loss = SPIKE if step == steps // 3 else 1.0 + 9.0 / (1 + 9 * step / steps) + 0.2 * choose.random()
        at = step * SECONDS + 0.001 * choose.random()
        figures = (loss, loss + 0.1, 4e-3 * choose.random(), choose.random(), step * 1024, 1e3 + choose.random())
        rest = (SECONDS + 0.001 * choose.random(), choose.random(), choose.random())
        found = line % (run.name.encode(), step, begun + at, at, step, *figures, *rest)
        if step % EVALUATED_EVERY == 0:
            fields = {"split": "validation", "loss": loss, "tokens": 8192, "seconds": 0.1, "whole": False}
            found += encode(Record("eval", step, fields, run=run.name, seq=step, time=begun + at, mono=at))
        return found

    step, number = 0, 0
    while step < steps:
        number += 1
        with open(new / f"telemetry-{number:04d}.jsonl", "wb") as file:
            size = file.write(first if number == 1 else b"")
            while step < steps and size < LARGEST_SEGMENT:
                step += 1
                size += file.write(lines(step))
    new.rename(run)
    return run


def _template() -> bytes:
    """A step record as the writer makes it, with places for its numbers."""
    record = Record("step", 777002, dict(_MARKS), run="RUN", seq=777003, time=10.5, mono=11.5)
    line = encode(record).replace(b"RUN", b"%s")
    for whole in (b"777001", b"777002", b"777003"):
        line = line.replace(whole, b"%d")
    for number in (*(value for value in _MARKS.values() if isinstance(value, float)), 10.5, 11.5):
        line = line.replace(b":%s" % str(number).encode(), b":%r")
    return line


def resumed(run: Path, folder: Path, steps: int) -> tuple[Path, Writer]:
    """The same history, not copied, in another folder, and a writer in this process that goes on with it."""
    folder.mkdir(parents=True)
    for path in segments(run):
        os.link(path, folder / path.name)
    writer = Writer(folder)
    writer.write("run_start", steps, resumed_from_step=steps, stage="stage1", preset="cpu_smoke", steps=2 * steps)
    return folder, writer


def write_step(writer: Writer, step: int) -> None:
    """One more step, with the figures of the others."""
    fields = dict(_MARKS) | {"loss": 1.5 + random.random() / 10, "tokens": step * 1024}
    writer.write("step", step, **fields)
