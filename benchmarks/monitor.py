"""Measures the monitor in a real terminal: first picture, exact curves, processor time, memory, what it notices.

Runs of 10 k and 1 M step records (with --large also 10 M) are made with the writer's own lines, once, below --folder.
The monitor runs in tmux at 200x60 unless said otherwise; its screen is read every 10 ms, its processor time and memory
are those of its process tree in /proc. Figures are medians of --repeat, the waits for one press or append of 40.

    python benchmarks/monitor.py [--large] [--folder DIR] [--repeat 5] [--only PART ...] [--peers VENV]

--peers: a virtual environment with `toolong` and `wandb`; measured on the same lines, and on the same values as an
offline run. `wandb leet` at 1 M takes minutes and is measured once, with --large.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import _report
from _peers import leet, toolong
from _runs import make, resumed, write_step
from _terminal import Terminal

from think.core.telemetry.writer import Writer, segments

BRAILLE = frozenset(map(chr, range(0x2801, 0x2900)))
SIZES = {"10 k": 10_000, "1 M": 1_000_000}
LARGE = {"10 M": 10_000_000}
PRESSES = 40
RATE = 50
KEYS = {"Gates": "3", "Run": "2"}
"Keys of screens; the head line has the present one in brackets."


@dataclass
class Bench:
    """What is asked for, and what was found: name of the figure -> value, unit, goal."""

    folder: Path
    repeat: int
    priority: int | None
    sizes: dict[str, int]
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tell(self, name: str, values: list[float], unit: str, goal: str = "") -> None:
        values = sorted(values)
        text = f"{name:<58}{median(values):>9.3g} {unit:<4}"
        spread = f"  {values[0]:.3g} to {values[-1]:.3g}, n = {len(values)}" if len(values) > 1 else ""
        print(f"{text}{spread:<32}{'  goal ' + goal if goal else ''}", flush=True)
        self.figures[name] = {"median": median(values), "unit": unit, "goal": goal, "values": values}

    @contextlib.contextmanager
    def monitor(
        self, run: Path, *, cache: Path | None = None, columns: int = 200, rows: int = 60
    ) -> Iterator[Terminal]:
        """`think tui RUN`, with its indexes in `cache` or in a folder that is new."""
        with tempfile.TemporaryDirectory() as new:
            where = f"XDG_CACHE_HOME={cache or new}"
            # as an installed package: compiled once, whatever this shell says about it
            compiled = ["PYTHONDONTWRITEBYTECODE=", f"PYTHONPYCACHEPREFIX={self.folder / 'compiled'}"]
            command = ["env", where, *compiled, sys.executable, "-m", "think", "tui", str(run)]
            with Terminal(command, columns=columns, rows=rows, priority=self.priority) as terminal:
                yield terminal


def drawn(text: str) -> bool:
    """A picture: the state is known and curves are drawn."""
    return "step" in text and not BRAILLE.isdisjoint(text)


def exact(text: str) -> bool:
    return drawn(text) and "sampled" not in text and "reading" not in text


# ---- what is measured ---------------------------------------------------------------------------------------------


def first_picture(bench: Bench) -> None:
    """Whole horizontal range and state, without an index; warm, and with the files out of the system's cache."""
    with bench.monitor(make(bench.folder, 10_000)) as terminal:  # the first start compiles
        terminal.until(exact)
    for label, steps in bench.sizes.items():
        run = make(bench.folder, steps)
        for cold in (False, True):
            seconds = []
            for _ in range(bench.repeat):
                if cold:
                    _forget(run)
                with bench.monitor(run) as terminal:
                    seconds.append(terminal.until(drawn))
            goal = "<= 0.65" if cold else "<= 0.45"
            bench.tell(f"first picture, {label} records, {'cold' if cold else 'warm'}", seconds, "s", goal)


def exact_curves(bench: Bench) -> None:
    """Until nothing is sampled any more; the wait for a key meanwhile; memory; then again with the index."""
    for label, steps in bench.sizes.items():
        run = make(bench.folder, steps)
        seconds, again, now, peak = [], [], [], []
        for _ in range(bench.repeat if steps <= 1_000_000 else 1):
            with tempfile.TemporaryDirectory() as cache:
                with bench.monitor(run, cache=Path(cache)) as terminal:
                    drawn_after = terminal.until(drawn)
                    seconds.append(terminal.until(exact) - drawn_after)
                    memory = terminal.megabytes()
                    now.append(memory[0])
                    peak.append(memory[1])
                    terminal.keys("q")
                    _gone(terminal)
                with bench.monitor(run, cache=Path(cache)) as terminal:
                    again.append(terminal.until(exact))
        goal = {1_000_000: "<= 2.5", 10_000_000: "<= 20"}.get(steps, "")
        bench.tell(f"exact curves after the first picture, {label}", seconds, "s", goal)
        bench.tell(f"opened again with the index, exact, {label}", again, "s", "<= 0.45")
        bench.tell(f"memory, {label}", now, "MB", "<= 80")
        bench.tell(f"memory at its highest, {label}", peak, "MB", "<= 100")


def keys_meanwhile(bench: Bench) -> None:
    """From a key press to the changed screen while the history is read."""
    run = make(bench.folder, max(bench.sizes.values()))
    waits: list[float] = []
    while len(waits) < PRESSES:
        with bench.monitor(run) as terminal:
            terminal.until(drawn)
            while len(waits) < PRESSES and not exact(terminal.text()):
                for place in ("Gates", "Run"):
                    begun = time.perf_counter()
                    terminal.keys(KEYS[place])
                    waits.append(terminal.until(lambda text, place=place: _stands_at(text, place), since=begun))  # type: ignore[misc]
                    time.sleep(0.05)
    bench.tell("key to screen while reading", [1000 * wait for wait in waits], "ms", "<= 50")


def live(bench: Bench) -> None:
    """Processor time without news and at 50 records a second; from an append to the screen."""
    for label, steps in bench.sizes.items():
        run = make(bench.folder, steps)
        for columns, rows in ((200, 60), (80, 24)):
            with (
                _going_on(run, steps) as (folder, writer),
                bench.monitor(folder, columns=columns, rows=rows) as terminal,
            ):
                for step in range(steps + 1, steps + 60):
                    write_step(writer, step)
                    time.sleep(0.1)
                terminal.until(exact)
                time.sleep(1.0)
                place = f"{label} of history, {columns}x{rows}"
                with _steps_at(writer, steps + 60, 1 / 10_000):
                    quiet = [terminal.cpu_share(5.0) for _ in range(2)]
                bench.tell(f"processor, alive, no news, {place}", quiet, "%", "<= 0.5")
                with _steps_at(writer, steps + 61, RATE):
                    time.sleep(1.0)
                    busy = [terminal.cpu_share(5.0) for _ in range(2)]
                goal = "<= 6" if columns == 200 else "<= 3"
                bench.tell(f"processor, {RATE} records a second, {place}", busy, "%", goal)
                if columns == 200:
                    waits = _appended(terminal, writer, steps + 10_000)
                    bench.tell(f"append to screen, {label}", waits, "ms", "p95 <= 350")
                    ordered = sorted(waits)
                    bench.tell(f"append to screen, {label}, p95", [ordered[int(0.95 * len(ordered))]], "ms", "<= 350")


def life(bench: Bench) -> None:
    """A killed and a stopped process; a run that died long ago."""
    steps = min(bench.sizes.values())
    run = make(bench.folder, steps)
    old, killed, stalled = [], [], []
    for _ in range(bench.repeat):
        with bench.monitor(run) as terminal:
            terminal.until(drawn)
            old.append(float("dead" in terminal.text()))
        for number, found in ((signal.SIGKILL, killed), (signal.SIGSTOP, stalled)):
            with tempfile.TemporaryDirectory(dir=bench.folder) as place:
                folder = Path(place) / "live"
                trainer = subprocess.Popen([sys.executable, __file__, "--train", str(run), str(folder), str(steps)])
                try:
                    while not folder.exists():
                        time.sleep(0.05)
                    with bench.monitor(folder) as terminal:
                        terminal.until(lambda text: drawn(text) and "running" in text)
                        time.sleep(2.0)
                        begun = time.perf_counter()
                        trainer.send_signal(number)
                        word = "dead" if number is signal.SIGKILL else "stalled"
                        found.append(terminal.until(lambda text, word=word: word in text, since=begun))  # type: ignore[misc]
                finally:
                    trainer.kill()
                    trainer.wait()
    bench.tell("old run shown as dead in its first picture (1 = yes)", old, "", "1")
    bench.tell("killed trainer shown", killed, "s", "<= 2")
    bench.tell("stopped trainer shown as stalled", stalled, "s", "max(5, 5 x interval)")


def damage(bench: Bench) -> None:
    """A file that is cut, one that is replaced, and lines that are no records, until the screen says so."""
    steps = min(bench.sizes.values())
    run = make(bench.folder, steps)
    for label, word in (("cut file", "was cut"), ("replaced file", "was replaced"), ("bad line", "no records")):
        seconds = []
        for _ in range(bench.repeat):
            with _going_on(run, steps) as (folder, writer), bench.monitor(folder) as terminal:
                for step in range(steps + 1, steps + 100):
                    write_step(writer, step)
                terminal.until(lambda text: f"{steps + 99:,}" in text)
                newest = segments(folder)[-1]
                begun = time.perf_counter()
                if label == "cut file":
                    os.truncate(newest, newest.stat().st_size // 2)
                elif label == "replaced file":
                    other = folder / "other"
                    other.write_bytes(newest.read_bytes()[:-2000] + b"\n")
                    other.replace(newest)
                else:
                    with open(newest, "ab") as file:
                        file.write(b"this is no record\n")
                seconds.append(terminal.until(lambda text, word=word: word in text, since=begun))  # type: ignore[misc]
        bench.tell(f"{label} shown", seconds, "s", "<= 1")


PARTS: dict[str, Callable[[Bench], None]] = {
    "first": first_picture,
    "exact": exact_curves,
    "keys": keys_meanwhile,
    "live": live,
    "life": life,
    "damage": damage,
}


def _stands_at(text: str, screen: str) -> bool:
    return any(f"{KEYS[screen]} {screen}]" in line for line in text.splitlines()[:2])


# ---- help -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _going_on(run: Path, steps: int) -> Iterator[tuple[Path, Writer]]:
    with tempfile.TemporaryDirectory(dir=run.parent) as place:
        folder, writer = resumed(run, Path(place) / "live", steps)
        try:
            yield folder, writer
        finally:
            writer.close("finished")


@contextlib.contextmanager
def _steps_at(writer: Writer, first: int, rate: float) -> Iterator[None]:
    """Steps at so many a second from a thread of this process."""
    stop = threading.Event()

    def go_on() -> None:
        step = first
        while not stop.wait(1 / rate):
            write_step(writer, step)
            step += 1

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _appended(terminal: Terminal, writer: Writer, first: int) -> list[float]:
    """Milliseconds from a record's write to its step on the screen."""
    waits = []
    for step in range(first, first + PRESSES):
        time.sleep(0.3 + 0.017 * (step % 20))
        begun = time.perf_counter()
        write_step(writer, step)
        waits.append(1000 * terminal.until(lambda text, step=step: f"{step:,}" in text, since=begun))  # type: ignore[misc]
    return waits


def _forget(run: Path) -> None:
    """Ask the system to drop the files from its cache."""
    os.sync()
    for path in segments(run):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _gone(terminal: Terminal) -> None:
    while Path(f"/proc/{terminal.pid}").exists():
        time.sleep(0.01)


def _train(run: Path, folder: Path, steps: int) -> None:
    """Be a trainer that takes 50 steps a second until somebody stops it."""
    _, writer = resumed(run, folder, steps)
    for step in range(steps + 1, 10**9):
        write_step(writer, step)
        time.sleep(1 / RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "think-monitor-benchmark")
    parser.add_argument("--large", action="store_true", help="10 M records too: 3.6 GB and some minutes to make")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=None)
    parser.add_argument("--peers", type=Path, metavar="VENV")
    parser.add_argument("--priority", type=int, help="of the scheduling group of what is measured, such as -15 (root)")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.train:
        return _train(Path(chosen.train[0]), Path(chosen.train[1]), int(chosen.train[2]))
    if shutil.which("tmux") is None:
        raise SystemExit("this needs tmux")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(chosen.folder, chosen.repeat, chosen.priority, SIZES | (LARGE if chosen.large else {}))
    for name, part in PARTS.items():
        if chosen.only is None or name in chosen.only:
            part(bench)
    if chosen.peers is not None:
        for label, steps in bench.sizes.items():
            toolong(bench, chosen.peers, label, make(bench.folder, steps))
            leet(bench, chosen.peers, label, make(bench.folder, steps), steps, large=chosen.large)
    name = "monitor" if chosen.only is None else f"monitor-{'-'.join(chosen.only)}"
    print(f"written to {_report.write(name, bench.figures)}")
    return None


if __name__ == "__main__":
    main()
