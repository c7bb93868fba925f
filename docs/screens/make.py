"""Draws the pictures of the monitor in this folder anew, while a real training run goes on: python docs/screens/make.py

It trains one small run to its end, judges it, starts another and looks at both with the monitor itself, without a
terminal. Takes a few minutes; needs the development install and writes nothing outside this folder and a temporary one.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from think.tui import screens
from think.tui.app import Monitor
from think.tui.desk import Desk, every_action
from think.tui.feed import Feed

HERE = Path(__file__).resolve().parent
THINK = [sys.executable, "-m", "think"]
SIZE = (118, 34)
SETTINGS = [
    *("--preset", "cpu_smoke", "--set", 'data.sources=[{kind="stories", count=600}]'),
    *("--set", "stage1.rows=4", "--set", "stage1.length=64", "--set", "stage1.curriculum=[]"),
    *("--set", "stage1.evaluation.every=25"),
]
STEPS, SHOWN_AT = 500, 250
WAIT_SECONDS = 900.0

PICTURES: dict[str, tuple[str, ...]] = {"runs": ("f", "k", "j"), "run": ("enter",), "gates": ("1", "k", "enter", "3")}
"File -> the keys that lead to it from the picture before."


def train(name: str, steps: int, seed: int) -> list[str]:
    return [*THINK, "train", "stage1", *SETTINGS, "--set", f"stage1.steps={steps}", "--seed", str(seed), "--out", name]


async def draw(ready: Callable[[Desk], bool]) -> None:
    """Write the pictures as soon as the desk is ready."""
    specs = screens.specs()
    desk = Desk(specs)
    app = Monitor(Feed(Path("runs"), handoff=Path("handoff")), desk, every_action(specs))
    async with app.run_test(size=SIZE) as pilot:
        await wait(pilot.pause, lambda: ready(desk))
        for name, keys in PICTURES.items():
            await pilot.press(*keys)
            until = time.monotonic() + 2.0
            await wait(pilot.pause, lambda until=until: time.monotonic() > until)
            (HERE / f"{name}.svg").write_text(app.export_screenshot(title="think tui"), encoding="utf-8")


async def wait(pause: Callable[[float], object], ready: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise SystemExit("the run did not get far enough in time")
        await pause(0.05)  # type: ignore[misc]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.update(THINK_RUNS="runs", XDG_CONFIG_HOME=folder, XDG_CACHE_HOME=folder, OMP_NUM_THREADS="1")
        subprocess.run([*THINK, "data", "pack", *SETTINGS[:4]], check=True)
        subprocess.run(train("seed-0", STEPS, 0), check=True)
        subprocess.run([*THINK, "gate", "g0", "g1", "g2", "g3"])  # g3 asks for more steps than these: no verdict
        going_on = subprocess.Popen(train("seed-1", 1000, 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            asyncio.run(draw(lambda desk: _far_enough(desk, going_on)))
        finally:
            going_on.send_signal(signal.SIGKILL)
            going_on.wait()
            os.chdir(HERE)


def _far_enough(desk: Desk, going_on: "subprocess.Popen[bytes]") -> bool:
    if going_on.poll() is not None:
        raise SystemExit(f"the run ended with {going_on.returncode} before it was shown")
    view = desk.newest
    row = view.find("seed-1") if view is not None else None
    return row is not None and row.state == "running" and (row.step or 0) >= SHOWN_AT and row.held_out is not None


if __name__ == "__main__":
    main()
