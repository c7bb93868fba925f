"""The same history in other people's terminal programs: toolong on the lines, W&B LEET on the values."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from _terminal import Terminal

from think.core.telemetry.writer import segments

LOG = """
import json, os, sys
import wandb
run = wandb.init(project="think", dir=sys.argv[2], mode="offline", settings=wandb.Settings(console="off"))
names = ("loss", "objective", "learning_rate", "gradient_norm", "tokens", "tokens_per_second", "seconds", "length",
         "entropy", "h0_gradient")
for path in sys.argv[3:]:
    with open(path) as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "step":
                run.log({name: record[name] for name in names}, step=record["step"])
run.finish()
"""
"Writes the step records of segments as an offline run; the folder comes first."


def toolong(bench: Any, venv: Path, label: str, run: Path) -> None:
    """`tl` on all lines in one file: until the last line is shown, memory, and 50 lines a second."""
    program = venv / "bin" / "tl"
    if not program.exists():
        print(f"no {program}")
        return
    with tempfile.TemporaryDirectory(dir=run.parent) as place:
        path = Path(place) / "lines.jsonl"
        with open(path, "wb") as file:
            for segment in segments(run):
                file.write(segment.read_bytes())
        last = path.read_bytes()[-4000:].split(b"\n")[-2][:60].decode()
        seconds, memory, peak, busy = [], [], [], []
        for _ in range(min(bench.repeat, 3)):
            with Terminal([str(program), str(path)], priority=bench.priority) as terminal:
                seconds.append(terminal.until(lambda text: last[:40] in text))
                time.sleep(2.0)
                found = terminal.megabytes()
                memory.append(found[0])
                peak.append(found[1])
        with Terminal([str(program), str(path)], priority=bench.priority) as terminal, open(path, "ab") as file:
            terminal.until(lambda text: last[:40] in text)
            before, begun = terminal.cpu_seconds(), time.perf_counter()
            while time.perf_counter() - begun < 5.0:
                file.write(last.encode() + b'"}\n')
                file.flush()
                time.sleep(0.02)
            busy.append(100 * (terminal.cpu_seconds() - before) / (time.perf_counter() - begun))
        bench.tell(f"toolong: last line shown, {label}", seconds, "s")
        bench.tell(f"toolong: memory, {label}", memory, "MB")
        bench.tell(f"toolong: memory at its highest, {label}", peak, "MB")
        bench.tell(f"toolong: processor, 50 lines a second, {label}", busy, "%")


def leet(bench: Any, venv: Path, label: str, run: Path, steps: int, *, large: bool) -> None:
    """`wandb leet` on the same values: first chart, complete, memory; and without an end record, the idle cost."""
    program = venv / "bin" / "wandb"
    if not program.exists() or steps > 1_000_000 or (steps > 100_000 and not large):
        print(f"W&B LEET: not measured at {label}")
        return
    with tempfile.TemporaryDirectory(dir=run.parent) as place:
        environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
        command = [str(venv / "bin" / "python"), "-c", LOG, "-", place, *map(str, segments(run))]
        subprocess.run(command, env=environment, check=True, cwd=place)
        offline = next((Path(place) / "wandb").glob("offline-run-*"))
        first, complete, memory = [], [], []
        for _ in range(min(bench.repeat, 3) if steps <= 100_000 else 1):
            command = ["env", "WANDB_ERROR_REPORTING=false", str(program), "leet", "run", str(offline)]
            with Terminal(command, priority=bench.priority) as terminal:
                first.append(terminal.until(lambda text: any("\u2801" <= letter <= "\u28ff" for letter in text)))
                complete.append(terminal.until(lambda text: "Finished" in text))
                memory.append(terminal.megabytes()[0])
        bench.tell(f"W&B LEET: first chart (partial), {label}", first, "s")
        bench.tell(f"W&B LEET: complete, {label}", complete, "s")
        bench.tell(f"W&B LEET: memory, {label}", memory, "MB")
